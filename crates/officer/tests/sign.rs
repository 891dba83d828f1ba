//! What an officer relies on: what was shown is what is signed, and ssh-keygen and Writ both take the signature.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use writ_authority::{Paper, Roster, Signature};

const WARRANT: &str = include_str!("../../../docs/examples/warrant.toml");

/// An officer's machine: a folder with keys and a warrant.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::write(desk.path("w.toml"), WARRANT).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, name: &str, kind: &[&str], passphrase: &str) -> PathBuf {
        let file = self.path(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", passphrase, "-C", name]).args(kind).arg("-f").arg(&file);
        assert!(command.status().unwrap().success());
        file
    }

    fn officer(&self, arguments: &[&str], typed: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_writ-officer"));
        command.args(arguments).current_dir(self.0.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Whether ssh-keygen takes the signature as this key's under this namespace.
    fn ssh_keygen_takes(&self, signature: &Path, key: &Path, namespace: &str, document: &str) -> bool {
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        std::fs::write(self.path("allowed"), format!("somebody {public}")).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", "somebody", "-n", namespace, "-f"]).arg(self.path("allowed"));
        command.arg("-s").arg(signature).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), document.as_bytes()).unwrap();
        child.wait().unwrap().success()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn what_is_signed_here_counts_for_ssh_keygen_and_for_writ() {
    let desk = Desk::new();
    let kinds: [(&str, &[&str]); 3] =
        [("ed", &["-t", "ed25519"]), ("p256", &["-t", "ecdsa", "-b", "256"]), ("p384", &["-t", "ecdsa", "-b", "384"])];
    for (name, kind) in kinds {
        let key = desk.key(name, kind, "");
        let signed = desk.officer(&["sign", "w.toml", "--key", name, "--yes"], "");
        assert!(signed.status.success(), "{}", said(&signed));
        assert!(said(&signed).contains("takes: content of") && said(&signed).contains("signature: writ-approve"));
        let file = desk.path(&format!("w.toml.{name}.sig"));
        assert!(desk.ssh_keygen_takes(&file, &key, "writ-approve", WARRANT));
        assert!(!desk.ssh_keygen_takes(&file, &key, "writ-amend", WARRANT));
        assert!(!desk.ssh_keygen_takes(&file, &key, "writ-approve", &WARRANT.replace("192.0.2.7", "192.0.2.8")));
        // Writ's own view, against a roster that names the key.
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let other = desk.key(&format!("{name}-other"), &["-t", "ed25519"], "");
        let other = std::fs::read_to_string(other.with_extension("pub")).unwrap();
        let roster = format!(
            "version = 1\noperator = \"ExampleNet\"\n[[officer]]\nname = \"A\"\nroles = [\"legal\"]\nkeys = [{:?}]\n\
             [[officer]]\nname = \"B\"\nroles = [\"operations\"]\nkeys = [{:?}]\n",
            public.trim(),
            other.trim()
        );
        let roster = Roster::parse(roster.as_bytes(), Path::new("roster.toml")).unwrap();
        let signature = Signature::parse(&std::fs::read(&file).unwrap(), &file).unwrap();
        let paper = Paper::parse(WARRANT.as_bytes(), Path::new("w.toml")).unwrap();
        assert_eq!(roster.signer(&signature, paper.namespace(), paper.bytes()).unwrap().name, "A");
        // A signature that is there is not written over.
        let again = desk.officer(&["sign", "w.toml", "--key", name, "--yes"], "");
        assert_eq!(again.status.code(), Some(2), "{}", said(&again));
        assert!(said(&again).contains("remove it if it is there"), "{}", said(&again));
    }
}

#[test]
fn only_yes_is_yes_and_nothing_is_signed_as_something_else() {
    let desk = Desk::new();
    desk.key("ada", &["-t", "ed25519"], "");
    for answer in ["", "no\n", "y\n", "YES\n"] {
        let asked = desk.officer(&["sign", "w.toml", "--key", "ada"], answer);
        assert_eq!(asked.status.code(), Some(1), "{}", said(&asked));
        assert!(said(&asked).contains("not signed"));
    }
    let other = desk.officer(&["sign", "w.toml", "--key", "ada", "--as", "revoke", "--yes"], "");
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("a document of this kind is signed with writ-approve"), "{}", said(&other));
    assert!(!desk.path("w.toml.ada.sig").exists());
    let asked = desk.officer(&["sign", "w.toml", "--key", "ada", "--name", "ada.marsh"], "yes\n");
    assert!(asked.status.success() && desk.path("w.toml.ada.marsh.sig").exists(), "{}", said(&asked));
}

#[test]
fn what_cannot_be_signed_says_what_to_do() {
    let desk = Desk::new();
    desk.key("rsa", &["-t", "rsa", "-b", "2048"], "");
    desk.key("locked", &["-t", "ed25519"], "correct horse");
    std::fs::write(desk.path("bad.toml"), WARRANT.replace("192.0.2.7", "192.0.2.7/28")).unwrap();
    for (arguments, wanted) in [
        (&["sign", "w.toml", "--key", "rsa", "--yes"][..], "sign with `ssh-keygen -Y sign"),
        (&["sign", "w.toml", "--key", "rsa.pub", "--yes"], "name the file without .pub"),
        (&["sign", "bad.toml", "--key", "rsa", "--yes"], "bad.toml: target[1].address: the address has bits set"),
        (&["show", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ] {
        let refused = desk.officer(arguments, "");
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(wanted), "{}", said(&refused));
    }
}

/// A passphrase is asked for at the terminal, which `script` (util-linux) provides.
#[test]
fn an_encrypted_key_asks_for_its_passphrase_without_echo() {
    if Command::new("script").arg("--version").output().is_err() {
        return;
    }
    let desk = Desk::new();
    let key = desk.key("locked", &["-t", "ed25519"], "correct horse");
    let officer = format!("{} sign w.toml --key locked --yes", env!("CARGO_BIN_EXE_writ-officer"));
    for (typed, signs) in [("wrong\n", false), ("correct horse\n", true)] {
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-E", "never", "-c", &officer, "/dev/null"]).current_dir(desk.0.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut terminal = child.stdin.take().unwrap();
        // What is typed before the question is asked is waiting for it.
        std::io::Write::write_all(&mut terminal, typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(terminal);
        assert_eq!(output.status.success(), signs, "{}", said(&output));
        assert_eq!(said(&output).contains("wrong passphrase"), !signs, "{}", said(&output));
    }
    assert!(desk.ssh_keygen_takes(&desk.path("w.toml.locked.sig"), &key, "writ-approve", WARRANT));
}
