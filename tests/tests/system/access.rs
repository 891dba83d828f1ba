//! Roles at run time: real users of the machine ask the running probe, and each learns what it may and nothing else.

use crate::scene::{ALICE, BOB, PATIENCE, SECOND, Scene, order, words};
use crate::traffic::Traffic;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use writ_lab::documents::Order;
use writ_lab::{ready, until};

pub(crate) const VIEWER: u32 = 61_001;
pub(crate) const LI: u32 = 61_002;
pub(crate) const ADMIN: u32 = 61_003;
const NOBODY: u32 = 61_009;
/// The group by which the admin has the role.
pub(crate) const ADMINS: u32 = 61_103;
/// A UUID that no warrant has.
pub(crate) const UNKNOWN: &str = "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a22ff";

/// A scene in which the users above have their roles, and root has all of them for the compartment `general` and `gangs`.
pub(crate) fn build() -> Option<Scene> {
    if !ready(&["setpriv"]).unwrap() {
        return None;
    }
    let mut scene = Scene::build(&[("tap0", 1)])?;
    let roles = format!(
        "\n[access]\nviewer = {{ users = [0, {VIEWER}] }}\nadmin = {{ users = [\"root\"], groups = [{ADMINS}] }}\n\
         [[access.li]]\nusers = [0, {LI}]\n\
         [[access.li]]\nusers = [0]\ncompartments = [\"gangs\"]\n"
    );
    fs::write(scene.path("writ.toml"), scene.configuration() + &roles).unwrap();
    // Everybody may go through the scene to the runtime directory, and run the program.
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(&scene.path(""), 0o711);
    fs::copy(&scene.binaries.writ, scene.path("writ")).unwrap();
    open(&scene.path("writ"), 0o755);
    scene.run();
    Some(scene)
}

/// Runs `writ` as a user of the machine, who has one more group beside its own.
pub(crate) fn as_user(scene: &Scene, user: u32, group: u32, arguments: &[&str]) -> Output {
    with_privileges(scene, user, group, &[], arguments)
}

fn with_privileges(scene: &Scene, user: u32, group: u32, privileges: &[&str], arguments: &[&str]) -> Output {
    let socket = scene.path("run/control.sock");
    let mut command = scene.host.command("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}"), format!("--groups={group}")]);
    command.args(privileges).arg(scene.path("writ")).args(arguments).arg("--socket").arg(socket);
    command.current_dir("/").output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", words(output)))
}

/// Arms two cases; the second is in a compartment that the user `LI` has nothing to do with.
fn arm_two(scene: &Scene) -> [Order; 2] {
    let [own, other] = [order(0, ALICE, "CASE-OWN"), Order { agency: SECOND.name, ..order(1, BOB, "CASE-OTHER") }];
    scene.arm(&own);
    let document = gangs(&other.warrant(&scene.probe().head().unwrap()).unwrap());
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().submit_document(other.case_id, &document, &[ada, ben]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    [own, other]
}

pub(crate) fn gangs(document: &str) -> String {
    document.replacen("authority = ", "compartment = \"gangs\"\nauthority = ", 1)
}

#[test]
fn each_user_learns_what_its_role_may_know_and_nothing_else() {
    let Some(mut scene) = build() else { return };
    let [own, other] = arm_two(&scene);
    let secrets = [ALICE, BOB, "CASE-", own.uuid, other.uuid, "account 20117", "docket", "gangs"];
    let tells_nothing = |output: &Output| {
        let said = words(output);
        assert!(!secrets.iter().any(|secret| said.contains(secret)), "{said}");
        said
    };

    // A viewer: whether the machine works. Neither figures that a target moves, nor which agency has a slot.
    let seen = json(&as_user(&scene, VIEWER, VIEWER, &["status", "--json"]));
    let overview = &seen["overview"];
    assert_eq!(overview["intercepts"].as_array().unwrap().len(), 2, "{seen}");
    let fields: Vec<_> = overview["intercepts"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["lost", "phase", "slot"]);
    assert!(tells_nothing(&as_user(&scene, VIEWER, VIEWER, &["status"])).contains("agency-a"));

    // What a role may not ask is refused by the name of the role that may.
    for (user, group, arguments, needed) in [
        (VIEWER, VIEWER, &["warrant", "list"][..], "the role li"),
        (VIEWER, VIEWER, &["warrant", "show", own.uuid], "the role li"),
        (VIEWER, VIEWER, &["explain", "0"], "the role admin"),
        (ADMIN, ADMINS, &["warrant", "list"], "the role li"),
        (ADMIN, ADMINS, &["warrant", "close", own.uuid], "the role li"),
        (ADMIN, ADMINS, &["roster", "show"], "the role li"),
        (LI, LI, &["status"], "the role viewer or admin"),
        (LI, LI, &["explain", "0"], "the role admin"),
    ] {
        let refused = as_user(&scene, user, group, arguments);
        assert!(!refused.status.success());
        assert!(tells_nothing(&refused).contains(needed), "{user} {arguments:?}: {}", words(&refused));
    }
    // The group makes the admin.
    assert!(as_user(&scene, ADMIN, ADMINS, &["status"]).status.success());
    assert!(!as_user(&scene, ADMIN, ADMIN, &["status"]).status.success());

    // A case of another compartment is one that there is none of.
    let listed = json(&as_user(&scene, LI, LI, &["warrant", "list", "--json"]));
    let uuids: Vec<_> = listed["warrants"].as_array().unwrap().iter().map(|line| &line["uuid"]).collect();
    assert_eq!(uuids, [own.uuid]);
    assert!(words(&as_user(&scene, LI, LI, &["warrant", "show", own.uuid])).contains(ALICE));
    for arguments in [&["show"][..], &["show", "--json"], &["close"]] {
        let answers = [other.uuid, UNKNOWN].map(|uuid| {
            let arguments = [&["warrant", arguments[0], uuid], &arguments[1..]].concat();
            let answer = as_user(&scene, LI, LI, &arguments);
            (answer.status.code(), words(&answer).replace(uuid, "UUID"))
        });
        assert_eq!(answers[0], answers[1], "{arguments:?}");
        assert!(answers[0].1.contains("there is no warrant UUID among your cases"), "{answers:?}");
    }
    let file = scene.path("handed-in.toml");
    fs::write(&file, gangs(&own.warrant(&scene.probe().head().unwrap()).unwrap())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = words(&as_user(&scene, LI, LI, &["warrant", "submit", &file.display().to_string()]));
    assert!(refused.contains("compartment: \"gangs\" is none of yours"), "{refused}");

    // Who is not named does not reach the socket; who gets past that hears three words to everything.
    for arguments in [&["status"][..], &["warrant", "show", own.uuid], &["warrant", "show", UNKNOWN]] {
        let kept_out = as_user(&scene, NOBODY, NOBODY, arguments);
        assert!(tells_nothing(&kept_out).contains("Permission denied"), "{}", words(&kept_out));
        let past = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
        let stranger = with_privileges(&scene, NOBODY, NOBODY, &past, arguments);
        assert_eq!(words(&stranger), "writ: refused: not for you\n", "{arguments:?}");
    }

    // All of it is on record, with who it was; nothing was touched.
    scene.stop();
    let log = scene.path("state/audit.jsonl");
    let records = fs::read_to_string(&log).unwrap();
    let denied: Vec<Value> = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["act"] == "access-refuse")
        .collect();
    for (user, request, uuid) in [
        (VIEWER, "warrant list", None),
        (ADMIN, "warrant close", Some(own.uuid)),
        (LI, "warrant show", Some(other.uuid)),
        (LI, "warrant show", Some(UNKNOWN)),
        (LI, "warrant submit", Some(own.uuid)),
        (NOBODY, "status", None),
    ] {
        let is_it = |record: &&Value| {
            record["actor"]["uid"] == user
                && record["details"]["request"] == request
                && record["details"]["gid"].as_str() == Some(user.to_string().as_str())
                && record["subject"]["uuid"].as_str() == uuid
        };
        assert!(denied.iter().any(|record| is_it(&record)), "{user} {request}: {denied:#?}");
    }
    assert!(!records.contains("\"warrant-revoke\""), "nobody revoked anything");
    let verified = scene.writ(&["audit", "verify", &log.display().to_string()]);
    assert!(verified.status.success(), "{}", words(&verified));
    scene.assert_log_names_nobody();
}

#[test]
fn an_admin_finds_where_an_intercept_is_stuck_without_learning_whose_it_is() {
    let Some(mut scene) = build() else { return };
    let own = order(0, ALICE, "CASE-OWN");
    scene.arm(&own);
    let slot = scene.probe().slot(&own).unwrap().unwrap()["slot"].to_string();
    let explain = |scene: &Scene, more: &[&str]| {
        let output = as_user(scene, ADMIN, ADMINS, &[&["explain", slot.as_str()], more].concat());
        assert!(output.status.success(), "{}", words(&output));
        let said = words(&output);
        for secret in [ALICE, "CASE-", own.uuid, "account 20117"] {
            assert!(!said.contains(secret), "{said}");
        }
        said
    };
    let stops_at = |scene: &Scene| {
        let trace: Value = serde_json::from_str(&explain(scene, &["--json"])).unwrap();
        trace["slot-trace"]["stops_at"].clone()
    };
    let wait_for = |scene: &Scene, stage: Value| {
        until("the stage", PATIENCE, || Ok((stops_at(scene) == stage).then_some(())))
            .unwrap_or_else(|error| panic!("{stage}: {error}: {}", explain(scene, &[])));
    };

    wait_for(&scene, "tap".into());
    let bystander = Traffic::start(scene.senders(&["tap0"]), &[BOB.parse().unwrap()]);
    wait_for(&scene, "match".into());
    bystander.stop();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    wait_for(&scene, Value::Null);
    assert!(explain(&scene, &[]).contains("packets pass every stage"));
    scene.agencies.clear();
    wait_for(&scene, "session, agency-a cmii".into());
    traffic.stop();
    scene.probe().revoke(&own, &scene.officers[0]).unwrap();
    wait_for(&scene, "capture".into());

    let free = as_user(&scene, ADMIN, ADMINS, &["explain", "77"]);
    assert!(words(&free).contains("slot 77 is not in use"), "{}", words(&free));
    scene.stop();
}

#[test]
fn without_roles_the_socket_is_roots_again() {
    let Some(mut scene) = build() else { return };
    let list_of = |path: PathBuf| rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 4096][..]);
    assert!(list_of(scene.path("run")).is_ok());
    scene.stop();
    let configuration = scene.configuration();
    let without = &configuration[..configuration.find("\n[access]").unwrap()];
    fs::write(scene.path("writ.toml"), without).unwrap();
    scene.run();
    for (path, mode) in [("run", 0o700), ("run/control.sock", 0o600)] {
        assert!(list_of(scene.path(path)).is_err(), "{path} has a list");
        assert_eq!(fs::metadata(scene.path(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
    assert!(!as_user(&scene, VIEWER, VIEWER, &["status"]).status.success());
    assert!(scene.probe().status().unwrap()["intercepts"].is_array());
    scene.stop();
}
