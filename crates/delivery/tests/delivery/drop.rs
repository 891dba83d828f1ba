//! A folder that an agency fetches files from: what is in it is whole and has its sum, and every record is there once.

use crate::rig::{FolderRig, PATIENCE, eventually, session_of};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use writ_delivery::{Destination, FailureKind, Predecessor};
use writ_encoder::UtcMicros;
use writ_encoder::files::{Block, Event, Intercept, decode_block};
use writ_encoder::t1_ias::{Assignment, CaseId, CorrelationId, Direction, IapSystemId, SessionId, SubscriberIdentity};
use writ_spool::{Consumer, Ledger, LossReason, Wake};

/// As the agency calls them, and as the folder does.
const CASES: [(&str, &str); 2] = [("CASE/1", "CASE%2F1"), ("CASE-2", "CASE-2")];
const SMALL: &str = "format = \"files\"\nrotate = { megabytes = 1 }";

fn template(case: usize) -> Intercept {
    Intercept::new(
        &CaseId::new(CASES[case].0).unwrap(),
        &IapSystemId::new("probe").unwrap(),
        &CorrelationId::new("c/7").unwrap(),
        &SubscriberIdentity::new("line").unwrap(),
    )
}

/// Packets for two cases.
fn packets() -> FolderRig {
    let templates = [0, 1].map(template);
    FolderRig::new(SMALL, 0o2750, move |case, number, packet| {
        let mut block = vec![0; templates[case].content_bound(packet.len())];
        let time = UtcMicros::from_unix_nanos(1_000_000_000);
        let length = templates[case].content(&mut block, time, Direction::ToSubject, number, packet).unwrap();
        block.truncate(length);
        block
    })
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn directory(rig: &FolderRig, case: usize) -> PathBuf {
    rig.folder.path().join(CASES[case].1)
}

/// What the agency has of a case: the files, whose sums sha256sum has found good.
fn fetched(rig: &FolderRig, case: usize) -> Vec<PathBuf> {
    let directory = directory(rig, case);
    let (sums, files): (Vec<_>, Vec<_>) = names(&directory).into_iter().partition(|name| name.ends_with(".sha256"));
    assert_eq!(sums, files.iter().map(|name| format!("{name}.sha256")).collect::<Vec<_>>(), "a sum for each");
    if !sums.is_empty() {
        let checked =
            Command::new("sha256sum").args(["--check", "--strict"]).args(&sums).current_dir(&directory).output();
        let checked = checked.unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    files.into_iter().map(|name| directory.join(name)).collect()
}

/// The numbers of the packets in a file that is whole.
fn numbers(file: &Path, case_id: &str) -> Vec<u64> {
    let bytes = fs::read(file).unwrap();
    let (mut rest, mut numbers, mut kinds) = (&bytes[..], Vec::new(), Vec::new());
    while let Some((block, length)) = decode_block(rest).unwrap() {
        kinds.push(block == Block::Section);
        if let Block::Packet(packet) = block {
            assert_eq!((&*packet.names.case_id, &*packet.names.content_id), (case_id, "c/7"));
            numbers.push(packet.sequence);
        }
        rest = &rest[length..];
    }
    assert_eq!((rest, kinds.iter().filter(|is_section| **is_section).count()), (&[][..], 1), "one section, and whole");
    numbers
}

fn assert_exact(rig: &FolderRig) {
    for (case, (case_id, _)) in CASES.into_iter().enumerate() {
        let found: Vec<_> = fetched(rig, case).iter().flat_map(|file| numbers(file, case_id)).collect();
        assert_eq!(found, rig.expected(case as u64), "case {case}");
    }
}

/// Files in work.
fn in_work(rig: &FolderRig) -> Vec<PathBuf> {
    let work = rig.folder.path().join(".work/cmc");
    let cases = names(&work).into_iter().map(|case| work.join(case));
    let files = cases.flat_map(|case| names(&case).into_iter().map(move |name| case.join(name)));
    files.filter(|file| file.extension().is_some_and(|it| it == "pcapng")).collect()
}

#[test]
fn a_clean_stop_finishes_every_file() {
    let mut rig = packets();
    rig.feed(60);
    let session = rig.session(Predecessor::FormerRun);
    rig.wait_for(60);
    assert_eq!((fetched(&rig, 0).len(), in_work(&rig).len()), (0, 2), "nothing is shown half");
    session.stop(PATIENCE);
    session.join().unwrap();
    assert_exact(&rig);
    assert_eq!(names(&rig.folder.path().join(".work/cmc")), [] as [&str; 0]);

    let files = fetched(&rig, 0);
    let name = files[0].file_name().unwrap().to_str().unwrap();
    let time = name.strip_prefix("CASE%2F1-c%2F7-").unwrap().strip_suffix("Z-0001.pcapng").unwrap();
    assert!(time.len() == 15 && time.as_bytes()[8] == b'T', "{name}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let sum = files[0].with_file_name(format!("{name}.sha256"));
    assert_eq!([&files[0], &sum, &directory(&rig, 0)].map(|path| mode(path)), [0o640, 0o640, 0o750]);
    assert_eq!(mode(&rig.folder.path().join(".work")), 0o700);

    // The next process begins files of its own.
    rig.feed(60);
    rig.write_all(Predecessor::SameRun);
    assert_eq!(fetched(&rig, 0).len(), 2);
    assert_exact(&rig);
}

#[test]
fn no_file_is_larger_than_was_asked_for() {
    let mut rig = packets();
    let session = rig.session(Predecessor::FormerRun);
    while rig.next < 4000 {
        rig.feed(400);
        rig.wait_for(rig.next);
    }
    // Those that are full are there before the end.
    eventually("a file of each", || [0, 1].iter().all(|case| !names(&directory(&rig, *case)).is_empty()));
    session.stop(PATIENCE);
    session.join().unwrap();
    assert_exact(&rig);
    let files = fetched(&rig, 1);
    let sizes: Vec<_> = files.iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 1_000_000), "{sizes:?}");
    assert!(sizes[0] > 700_000, "{sizes:?}: no smaller than need be");
    assert!(files[1].to_str().unwrap().ends_with("-0002.pcapng"), "{files:?}");
}

#[test]
fn an_intercept_that_has_ended_leaves_nothing_in_work() {
    let mut rig = packets();
    let session = rig.session(Predecessor::FormerRun);
    rig.feed(60);
    rig.wait_for(60);
    rig.ledger.slot(0).unwrap().close_memos();
    eventually("finished", || in_work(&rig).len() == 1);
    eventually("the file and its sum", || names(&directory(&rig, 0)).len() == 2);
    assert_eq!(numbers(&fetched(&rig, 0)[0], CASES[0].0), rig.expected(0));
    assert_eq!(fetched(&rig, 1).len(), 0);
    session.stop(PATIENCE);
    session.join().unwrap();
}

/// What a process leaves that is killed while it writes: files in work with undo files, and behind what was released whole
/// records and half a one.
fn leave_half_done(rig: &mut FolderRig, mark: impl Fn(&FolderRig) -> u64) {
    let session = rig.session(Predecessor::FormerRun);
    rig.feed(60);
    rig.wait_for(60);
    let files: Vec<_> = in_work(rig).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    assert_eq!(files.len(), 2);
    session.stop(PATIENCE);
    session.join().unwrap();
    for (case, (before, file)) in files.into_iter().enumerate() {
        fs::remove_dir_all(directory(rig, case)).unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let record = (rig.encode)(case, 9999, &[7; 60]);
        fs::write(&file, [&before[..], &record, &record[..record.len() - 11]].concat()).unwrap();
        let undo = [mark(rig), before.len() as u64].map(u64::to_le_bytes).concat();
        fs::write(format!("{}.undo", file.display()), undo).unwrap();
    }
}

#[test]
fn what_a_killed_process_wrote_and_did_not_release_is_handed_over_once() {
    let mut rig = packets();
    leave_half_done(&mut rig, |rig| rig.consumer().released_mark());
    rig.feed(60);
    rig.write_all(Predecessor::SameRun);
    assert_exact(&rig);
    assert_eq!(fetched(&rig, 0).len(), 2);
}

/// Where the process that is to be killed finds its stream, its ledger and its folder.
const TO_BE_KILLED: [&str; 3] = ["WRIT_TEST_STREAM", "WRIT_TEST_LEDGER", "WRIT_TEST_FOLDER"];

/// No test of its own: the process that the next one kills. Writes until then.
#[test]
fn the_process_that_is_killed() {
    let [Some(stream), Some(ledger), Some(folder)] = TO_BE_KILLED.map(std::env::var_os) else { return };
    let open = |path| File::options().read(true).write(true).open(path).unwrap();
    let ledger = Arc::new(Ledger::open(open(ledger)).unwrap());
    let consumer = Consumer::open(open(stream), Wake::create().unwrap(), ledger.clone()).unwrap();
    let text = format!("name = \"here\"\nfolder = {folder:?}\n{SMALL}");
    let [_, cmc] = toml::from_str::<Destination>(&text).unwrap().load("d").unwrap();
    session_of(cmc, Predecessor::SameRun, consumer, ledger).join().unwrap();
}

#[test]
fn killed_at_any_moment_every_record_is_handed_over_once() {
    let mut rig = packets();
    let memory = |fd: &OwnedFd| PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()));
    let places = [memory(&rig.memory), memory(&rig.ledger_memory), rig.folder.path().to_owned()];
    for life in 0..60 {
        // Much at once, so that the writing takes its time.
        if rig.consumer().is_empty().unwrap() {
            rig.feed(900);
        }
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "drop::the_process_that_is_killed"])
            .envs(TO_BE_KILLED.into_iter().zip(&places))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(life % 30));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    rig.write_all(Predecessor::SameRun);
    assert_exact(&rig);
    assert_eq!(names(&rig.folder.path().join(".work/cmc")), [] as [&str; 0]);
}

#[test]
fn after_a_power_cut_every_whole_record_is_handed_over() {
    let mut rig = packets();
    // The memory of that run is gone, and its mark says nothing in the new one.
    leave_half_done(&mut rig, |rig| rig.consumer().released_mark());
    // It was about to give the file its name.
    fs::create_dir(directory(&rig, 0)).unwrap();
    let name = in_work(&rig)[0].file_name().unwrap().to_str().unwrap().to_owned();
    fs::write(directory(&rig, 0).join(format!("{name}.sha256")), "of another length").unwrap();
    rig.write_all(Predecessor::FormerRun);
    for (case, (case_id, _)) in CASES.into_iter().enumerate() {
        let expected = [rig.expected(case as u64), vec![9999]].concat();
        assert_eq!(numbers(&fetched(&rig, case)[0], case_id), expected);
    }
    assert_eq!(names(&rig.folder.path().join(".work/cmc")), [] as [&str; 0]);
}

#[test]
fn what_is_whole_in_a_garbled_file_is_handed_over_and_the_rest_kept() {
    let mut rig = packets();
    leave_half_done(&mut rig, |rig| rig.consumer().released_mark());
    let file = in_work(&rig).remove(0);
    let mut garbled = fs::read(&file).unwrap();
    garbled.extend([0; 4096]);
    fs::write(&file, &garbled).unwrap();
    rig.write_all(Predecessor::FormerRun);
    let expected = [rig.expected(0), vec![9999]].concat();
    assert_eq!(numbers(&fetched(&rig, 0)[0], CASES[0].0), expected);
    assert_eq!(fs::read(format!("{}.damaged", file.display())).unwrap(), garbled);
    rig.write_all(Predecessor::FormerRun);
    assert!(Path::new(&format!("{}.damaged", file.display())).exists());
}

#[test]
fn a_file_that_was_begun_and_has_no_record_is_not_handed_over() {
    let rig = packets();
    let work = rig.folder.path().join(".work/cmc/CASE-2");
    fs::create_dir_all(&work).unwrap();
    let head = writ_encoder::files::section(template(1).names());
    for (number, length) in [(1, head.len()), (2, 7), (3, 0)] {
        fs::write(work.join(format!("CASE-2-c-20261122T101500Z-000{number}.pcapng")), &head[..length]).unwrap();
    }
    rig.write_all(Predecessor::FormerRun);
    assert_eq!((fetched(&rig, 1).len(), in_work(&rig).len()), (0, 0));
}

#[test]
fn events_are_lines_of_a_file_of_their_own() {
    let mut rig = packets();
    let templates = [0, 1].map(template);
    let session = SessionId::new("s").unwrap();
    rig.stream = 0;
    rig.encode = Box::new(move |case, number, _| {
        let time = UtcMicros::from_unix_nanos(number * 1000);
        templates[case].event(time, number, &session, Assignment::without_address(), Event::SessionStart)
    });
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    for (case, (case_id, _)) in CASES.into_iter().enumerate() {
        let files = fetched(&rig, case);
        assert!(files.len() == 1 && files[0].to_str().unwrap().ends_with("-0001.events.jsonl"), "{files:?}");
        let text = fs::read_to_string(&files[0]).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let found = lines.map(|line| {
            assert_eq!(line["case_id"], case_id);
            line["sequence"].as_u64().unwrap()
        });
        assert_eq!(found.collect::<Vec<_>>(), rig.expected(case as u64));
    }
}

/// A small disk on the folder, for as long as this lives.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount.
    fn on(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k,mode=2750", "tmpfs"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let mut rig = packets();
    let Some(_disk) = Disk::on(rig.folder.path()) else {
        assert_ne!(std::env::var("WRIT_REQUIRE_TOOLS").as_deref(), Ok("1"), "run as root: a disk is to be mounted");
        eprintln!("skipped: only root mounts");
        return;
    };
    let others = rig.folder.path().join("others");
    fs::write(&others, vec![0; 100_000]).unwrap();
    let session = rig.session(Predecessor::FormerRun);
    rig.feed(240);
    let failure = |rig: &FolderRig| FailureKind::from_code(rig.ledger.stream(0).unwrap().snapshot().failure);
    eventually("the alarm", || failure(&rig) == Some(FailureKind::DiskFull));
    fs::remove_file(others).unwrap();
    rig.wait_for(240);
    session.stop(PATIENCE);
    session.join().unwrap();
    assert_exact(&rig);
    let lost = |slot| rig.ledger.slot(slot).unwrap().snapshot().unwrap().deliveries[0].lost(LossReason::SpoolFull);
    assert_eq!([0, 1].map(lost), [0, 0]);
}

#[test]
fn a_folder_that_others_could_read_is_refused_by_name() {
    let rig = packets();
    for (mode, words) in [(0o2755, "mode 2755"), (0o2770, "mode 2770"), (0o750, "does not hand its group on")] {
        fs::set_permissions(rig.folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = rig.destination().load("destination[3]").unwrap_err();
        assert_eq!(error.field, "destination[3].folder");
        assert!(error.to_string().contains(words) && error.remedy.contains("chmod 2750"), "{error}");
    }
    for mode in [0o2750, 0o700] {
        fs::set_permissions(rig.folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(rig.destination().load("d").is_ok());
    }
    fs::remove_dir(rig.folder.path()).unwrap();
    assert!(rig.destination().load("d").unwrap_err().remedy.contains("install -d -m 2750"));
}

#[test]
fn settings_are_checked() {
    let check = |text: &str| -> Result<(), String> {
        let text = format!("name = \"x\"\n{text}");
        let destination: Destination = toml::from_str(&text).map_err(|error| error.to_string())?;
        destination.check("d").map_err(|error| error.to_string())
    };
    assert_eq!(check("format = \"files\"\nfolder = \"/srv\""), Ok(()));
    assert_eq!(check("format = \"files\"\nfolder = \"/srv\"\nrotate = { minutes = 5 }"), Ok(()));
    for (wrong, words) in [
        (
            "format = \"files\"\ncmii = \"a:1\"\ncmc = \"a:2\"\ntls = { ca = \"a\", cert = \"b\", key = \"c\" }",
            "d.folder: is missing",
        ),
        ("format = \"t1-ias\"\nfolder = \"/srv\"\nrotate = {}", "d.rotate: stands beside format = \"t1-ias\""),
        ("format = \"files\"\nfolder = \"/srv\"\nrotate = { minutes = 0 }", "nonzero"),
        ("format = \"files\"\nfolder = \"/srv\"\nrotate = { hours = 1 }", "unknown field `hours`"),
    ] {
        let error = check(wrong).unwrap_err();
        assert!(error.contains(words), "{wrong}: {error}");
    }
}
