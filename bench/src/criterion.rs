//! What criterion has measured (`cargo bench -p writ-bench`), read from the files that it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::report::{Row, Section, Target};

/// This part of the bench.
pub const PART: &str = "encode";

/// Name of the reference in every group.
const REFERENCE: &str = "memcpy";

/// Nanoseconds a PDU of every bench of criterion, beside the memcpy of its group.
pub fn section(directory: &Path) -> Result<Section> {
    let mut groups: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for group in folders(directory) {
        for function in folders(&group) {
            if let Ok(text) = fs::read_to_string(function.join("new/benchmark.json")) {
                let (group, name, elements) = benchmark(&serde_json::from_str(&text)?)
                    .with_context(|| format!("{}: not as criterion writes it", function.display()))?;
                let estimates = function.join("new/estimates.json");
                let text = fs::read_to_string(&estimates).with_context(|| estimates.display().to_string())?;
                let estimates: Value = serde_json::from_str(&text)?;
                let median = estimates["median"]["point_estimate"].as_f64().context("no median")?;
                groups.entry(group).or_default().insert(name, median / elements);
            }
        }
    }
    ensure!(!groups.is_empty(), "{}: criterion has left nothing there", directory.display());
    let title = "Encoding and the hot path, ns a PDU, beside a memcpy of the PDU";
    let mut section = Section::new(PART, title, ["ns", "memcpy, ns"]);
    for (group, functions) in groups {
        let Some(memcpy) = functions.get(REFERENCE) else { continue };
        for (name, time) in functions.iter().filter(|(name, _)| *name != REFERENCE) {
            let row = Row::new(format!("{group}: {name}"), [Some(*time), Some(*memcpy)]);
            section.rows.push(row.beside(REFERENCE, Some(time / memcpy), target(&group, name)));
        }
    }
    Ok(section)
}

/// What encoding is to cost at most, in copies.
fn target(group: &str, name: &str) -> Option<Target> {
    match name {
        // A text of the date in each datagram; for old networks.
        "fast" if group.starts_with("OpenCALEA") => None,
        "fast" if group.ends_with("content 1400") => Some(Target::AtMost(1.3)),
        "fast" if group.ends_with("content 64") => Some(Target::AtMost(2.0)),
        _ => None,
    }
}

/// Group, name, and PDUs in one iteration.
fn benchmark(benchmark: &Value) -> Option<(String, String, f64)> {
    let group = benchmark["group_id"].as_str()?.to_owned();
    let name = benchmark["function_id"].as_str()?.to_owned();
    let elements = benchmark["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    Some((group, name, elements))
}

fn folders(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
