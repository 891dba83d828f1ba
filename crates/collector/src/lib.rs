//! The agency's side: receives, decodes, files by case, reports gaps.
