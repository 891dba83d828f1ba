//! The register: what is in force is what the log and its documents say, before a crash and after it, and nothing else.
//! A program of its own: its tests share a probe that is made of papers alone.
//!
//! | module | what it shows |
//! |---|---|
//! | [`life`] | a case from its first signature to its closing |
//! | [`damage`] | documents that are missing or altered, a disk that takes nothing, a crash between paper and record |
//! | [`holds`] | a log that has forgotten something, or may have, and what releases it |
//! | [`backups`] | a backup made, tampered with, restored and released |
//! | [`retention`] | what belongs to a case closed long ago is removed, and nothing else |
//! | [`histories`] | random histories, crashes and tampering against plain models |

mod backups;
mod damage;
mod histories;
mod holds;
mod life;
mod probe;
mod retention;
