//! The demo's checks as a test: one authorised intercept, from a tap port to an agency, on real traffic.
#![forbid(unsafe_code)]

use writ_lab::scenario::{Check, Settings, Watcher, run};
use writ_lab::{Binaries, ready};

/// Prints what is found, for whoever reads the output of a failed test.
struct Printer;

impl Watcher for Printer {
    fn doing(&mut self, what: &str) {
        eprintln!("... {what}");
    }

    fn checked(&mut self, check: &Check) {
        let verdict = if check.passed { "holds" } else { "FAILS" };
        eprintln!("({}) {verdict}: {} [{}]", check.step, check.what, check.found);
    }
}

#[test]
fn one_authorised_intercept_from_a_tap_port_to_an_agency() -> Result<(), Box<dyn std::error::Error>> {
    if !ready(&["ip", "tc", "ss", "ethtool", "tcpdump", "nginx", "curl", "ping", "ssh-keygen"])? {
        return Ok(());
    }
    let evidence = tempfile::tempdir()?;
    let settings = Settings { binaries: Binaries::find()?, evidence: evidence.path().to_owned() };
    let report = run(&settings, &mut Printer)?;
    let failed: Vec<&Check> = report.checks.iter().filter(|check| !check.passed).collect();
    if !failed.is_empty() {
        let kept = evidence.keep();
        return Err(format!("{} checks fail, evidence in {}: {failed:#?}", failed.len(), kept.display()).into());
    }
    assert!(report.passed());
    assert_eq!(report.bystanders_in_user_space, 0);
    assert_eq!(report.tallies.len(), 4, "every order has its line");
    Ok(())
}
