//! The officer's guide, played through as it stands: every command of docs/officer.md, by whom the guide says, in its order.

use crate::scene::{Scene, words};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A block of commands and who runs them.
struct Step<'a> {
    line: usize,
    who: &'a str,
    commands: String,
}

/// The guide's blocks that begin with "```sh NAME".
fn steps(guide: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(guide.lines()) {
        match line.strip_prefix("```") {
            Some("") => inside = false,
            Some(opening) => {
                let who = opening.strip_prefix("sh ").unwrap_or_else(|| panic!("line {number}: whose commands?"));
                steps.push(Step { line: number, who, commands: String::new() });
                inside = true;
            }
            None if inside => steps.last_mut().expect("a block").commands += &format!("{line}\n"),
            None => {}
        }
    }
    steps
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    let Some(mut scene) = Scene::unsigned(&[("tap0", 1)]) else { return };
    scene.run();
    let desk = scene.path("desk");
    fs::create_dir(&desk).unwrap();
    for paper in ["order.pdf", "consent.pdf"] {
        fs::write(desk.join(paper), paper).unwrap();
    }
    let key = scene.writ(&["audit", "key", "--config", scene.path("writ.toml").to_str().unwrap()]);
    assert!(key.status.success(), "{}", words(&key));
    fs::write(desk.join("probe.pub"), key.stdout).unwrap();
    // What the guide calls $(uuid FILE).
    let tools = scene.path("tools");
    fs::create_dir(&tools).unwrap();
    let uuid = tools.join("uuid");
    fs::write(&uuid, "#!/bin/sh\nsed -n 's/^uuid = \"\\(.*\\)\"/\\1/p' \"$1\"\n").unwrap();
    fs::set_permissions(&uuid, fs::Permissions::from_mode(0o755)).unwrap();
    let path = [Path::new(&tools), scene.binaries.writ.parent().unwrap()].map(|it| it.display().to_string()).join(":");

    let guide = include_str!("../../../docs/officer.md");
    let steps = steps(guide);
    assert!(steps.len() > 20, "the guide has blocks of commands");
    for Step { line, who, commands } in steps {
        let home = scene.path(who);
        fs::create_dir_all(home.join(".ssh")).unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &commands])
            .current_dir(&desk)
            .env("HOME", &home)
            .env("WRIT_CONFIG", scene.path("writ.toml"));
        shell.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap_or_default()));
        let output = shell.output().unwrap();
        let said = words(&output);
        assert!(output.status.success(), "docs/officer.md:{line} ({who}): {}\n{commands}\n{said}", output.status);
    }
    // What the guide says of it: nothing is left in force, and those whom an end concerns were told.
    let status = scene.probe().status().unwrap();
    let in_force = status["intercepts"].as_array().unwrap().iter().filter(|it| it["phase"] == "active").count();
    assert_eq!(in_force, 0, "{status}");
    let notices = fs::read_dir(scene.path("state/notices")).unwrap().count();
    assert_eq!(notices, 5, "Ben of the denial, Ada and Ben of the end, the agency and the overseer of the closing");
    scene.assert_log_names_nobody();
    scene.stop();
}
