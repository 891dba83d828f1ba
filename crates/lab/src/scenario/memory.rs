//! Looking for bytes in the memory of running processes: the only place where a bystander's packet could be seen in
//! user space before anything writes it down.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use crate::packets::holds;
use crate::{LabError, Namespace};

/// How much of a mapping is read at once.
const CHUNK: usize = 4 << 20;

/// Process ids of those in the namespace whose memory holds the marker: ring frames, shared memory, heap and stacks.
pub(super) fn holders(namespace: &Namespace, marker: &[u8]) -> Result<Vec<u32>, LabError> {
    let mut found = Vec::new();
    for pid in namespace.processes()? {
        if process_holds(pid, marker)? {
            found.push(pid);
        }
    }
    Ok(found)
}

fn process_holds(pid: u32, marker: &[u8]) -> Result<bool, LabError> {
    let maps =
        fs::read_to_string(format!("/proc/{pid}/maps")).map_err(LabError::io(format!("maps of process {pid}")))?;
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(LabError::io(format!("memory of process {pid}")))?;
    let mut chunk = vec![0; CHUNK];
    for (start, end) in maps.lines().filter_map(readable_range) {
        let mut at = start;
        while at < end {
            let length = CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK));
            // Device memory and holes cannot be read; no packet lies there that the process could read.
            let Ok(read) = memory.read_at(&mut chunk[..length], at) else { break };
            if read == 0 {
                break;
            }
            if holds(&chunk[..read], marker) {
                return Ok(true);
            }
            // Chunks overlap, so that a marker across their border is found.
            at += if read > marker.len() && at + (read as u64) < end {
                (read - marker.len()) as u64
            } else {
                read as u64
            };
        }
    }
    Ok(false)
}

/// The range of a line of /proc/PID/maps, if the process can read it.
fn readable_range(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let readable = fields.next()?.starts_with('r');
    let special = line.contains("[vsyscall]") || line.contains("[vvar");
    let number = |text| u64::from_str_radix(text, 16).ok();
    (readable && !special).then_some((number(start)?, number(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        assert_eq!(readable_range("7f00-7f20 rw-s 00000000 00:01 12  /memfd:x (deleted)"), Some((0x7f00, 0x7f20)));
        assert_eq!(readable_range("7f00-7f20 ---p 00000000 00:00 0"), None);
    }

    #[test]
    fn our_own_memory_holds_what_we_hold() {
        // Made at run time, so that the executable itself does not hold it.
        let marker: Vec<u8> = (0..32u8).map(|n| n.wrapping_mul(37) ^ 0x5a).collect();
        assert!(process_holds(std::process::id(), &marker).expect("own memory is readable"));
    }
}
