//! The whole probe from outside: the real `writ` and `writ-collect` in network namespaces, numbered packets on the tap,
//! and what the agencies have held against what was sent.
//!
//! | module | what it proves |
//! |---|---|
//! | [`warrants`] | warrants begin, end and overlap under load, and none disturbs another |
//! | [`restarts`] | the whole probe is killed, or stopped, and goes on in one run of numbers |
//! | [`revisions`] | a warrant in force gets longer, wider and narrower, with no gap and in one run of numbers |
//! | [`targets`] | overlapping prefixes, as many as can be, and one too many; ten thousand targets |
//! | [`lines`] | lines told by VLAN and MAC address, kinds of traffic, and their fragments |
//! | [`roles`] | each role is killed under load, and the supervisor; what is missing is counted; nothing is left behind |
//! | [`ports`] | queues, interfaces and modes; the tap says nothing |
//! | [`jumbo`] | packets of nine kilobytes, whole and as header reports |
//! | [`taps`] | a tap is surveyed without taking anything; what it shows twice is recognised |
//! | [`bad_input`] | every fault of a document, a port or a certificate is named, and nothing is started |
//! | [`tuning`] | what makes a port fast is set up, shown and put back |
//! | [`storage`] | damaged files and a full disk stop what is new, not what is in force |
//! | [`destinations`] | files of this machine hold what was sent; a destination is tried beside an intercept, and what is wrong with it is said |
//! | [`hostile`] | damaged frames at full speed move counters, and nothing else |
//! | [`isolation`] | a bystander's packet that the kernel hands over by mistake is destroyed, counted, and an alarm |
//! | [`mixed`] | real programs' traffic: the agencies have what the reference model says, and tshark agrees |
//! | [`backups`] | a backup is made, restored on another machine, and believed only when nothing can be missing |
//! | [`witnesses`] | what root does to the log, the clock and the kernel's tables is found out |
//! | [`access`] | each user of the machine learns what its role may know, and a stuck intercept is traced by its slot |
//! | [`exports`] | a case's export is whole, has nothing of another case, and cannot be altered unseen; incidents alarm until told |
//! | [`guide`] | every command of the officer's guide does what the guide says |
//! | [`kills`] | `kill -9` at random moments while warrants change: nothing acknowledged is lost, nothing that ended comes back |
//! | [`clocks`] | the wall clock is set by hours; an emergency ends by the kernel unless the others sign |
//! | [`tests_of_lines`] | a test reaches its own line and files alone |
//! | [`interview`] | a warrant is written by answering questions at a terminal |
//! | [`formats`] | every handover format, from the tap to an agency: the fields on the wire are what was put in |
//! | [`replay`] | a capture file gives what a port would have given |
//!
//! All of it needs root and the tools of `cargo xtask setup`.
#![forbid(unsafe_code)]

mod access;
mod backups;
mod bad_input;
mod cases;
mod clocks;
mod destinations;
mod digests;
mod exports;
mod formats;
mod guide;
mod hostile;
mod interview;
mod isolation;
mod jumbo;
mod kills;
mod lines;
mod mixed;
mod ports;
mod replay;
mod restarts;
mod revisions;
mod roles;
mod scene;
mod storage;
mod taps;
mod targets;
mod tests_of_lines;
mod traffic;
mod tuning;
mod warrants;
mod witnesses;
