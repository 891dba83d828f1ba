//! What the encoder writes, read by others: asn1tools with ETSI's own modules, and openssl.
//!
//! The modules stand beside the project, `cargo xtask setup` makes the Python environment. Where one is missing the
//! test says so and passes; where only asn1tools is, and `WRIT_REQUIRE_TOOLS=1` is set, it fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::checks::keys;
use crate::given::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use writ_encoder::UtcMicros;
use writ_encoder::etsi::*;

/// check-etsi over `stream`: every PDU decodes, every constraint holds, written again it is the same. Its last line, or
/// none where there is no check-etsi.
fn check_etsi(name: &str, stream: &[u8]) -> Option<Result<String, String>> {
    let tool = shared("tools/check-etsi")?;
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("venv/bin/python");
    if !Command::new(&python).args(["-c", "import asn1tools"]).output().is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("WRIT_REQUIRE_TOOLS").as_deref(), Ok("1"), "no asn1tools: run `cargo xtask setup`");
        eprintln!("skipped: no asn1tools, run `cargo xtask setup`");
        return None;
    }
    let file = file(name, stream);
    let output = Command::new(python).arg(tool).arg(file).arg("--quiet").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = said.lines().last().unwrap_or_default().to_owned();
    Some(if output.status.success() { Ok(last) } else { Err(said) })
}

fn file(name: &str, contents: &[u8]) -> PathBuf {
    let file: PathBuf = [env!("CARGO_TARGET_TMPDIR"), name].iter().collect();
    std::fs::write(&file, contents).unwrap();
    file
}

fn one<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// asn1tools writes a GeneralizedTime without its seconds where they are zero. DER does not (X.690, 11.7.2), so such
/// times are left out where the two are compared.
fn with_seconds(time: UtcMicros) -> UtcMicros {
    let micros = time.unix_micros();
    if micros / 1_000_000 % 60 == 0 { UtcMicros::new(micros + 1_000_000).unwrap() } else { time }
}

/// 10,000 PDUs of every kind, with every size where a length grows, and the vectors.
#[test]
fn etsis_modules_read_all_that_is_written() {
    let mut runner = TestRunner::deterministic();
    let mut stream = Vec::new();
    let mut count = 0_u32;
    let mut put = |pdu: &[u8]| {
        stream.extend_from_slice(pdu);
        count += 1;
    };
    let mut out = vec![0; 1 << 18];
    let mut identity = identity();
    for round in 0..1250_usize {
        if round > 0 && round % 10 == 0 {
            identity = one(&mut runner, any_identity());
        }
        let intercept = Intercept::new(&identity, one(&mut runner, any_number()));
        let (time, direction) = (with_seconds(one(&mut runner, any_time())), one(&mut runner, any_direction()));
        let sequence = one(&mut runner, any_number());
        let bytes = packet(if round % 50 == 0 { 65_500 + round % 100 } else { round % 400 });
        let whole = Packet::from(&bytes[..]);
        let cut = Packet { original_length: Some(one(&mut runner, any_number())), ..whole };

        let length = intercept.content(&mut out, time, direction, sequence, whole).unwrap();
        put(&out[..length]);
        let mut sealed = vec![0; Sealer::bound(length)];
        let key = CaseKey::new(&packet(if round % 2 == 0 { 24 } else { 32 })).unwrap();
        let sealed_length = Sealer::new(key, time).seal(&mut sealed, sequence, &out[..length]).unwrap();
        put(&sealed[..sealed_length]);
        let length = intercept.content(&mut out, time, direction, sequence, cut).unwrap();
        put(&out[..length]);
        let members = [whole, cut, whole].map(|packet| Member { time, direction, packet });
        let length = intercept.contents(&mut out, time, sequence, &members[..round % 4]).unwrap();
        put(&out[..length]);
        let length = intercept.header_report(&mut out, time, direction, sequence, &bytes).unwrap();
        put(&out[..length]);
        let mut report = one(&mut runner, any_access());
        for time in [&mut report.start, &mut report.end, &mut report.expected_end] {
            *time = time.map(with_seconds);
        }
        put(&intercept.access(time, sequence, &report).unwrap());
        put(&intercept.tri(time, sequence, &one(&mut runner, any_tri())).unwrap());
        let mut summary = one(&mut runner, any_summary());
        (summary.first, summary.last) = (summary.first.map(with_seconds), summary.last.map(with_seconds));
        put(&match round % 2 {
            0 => intercept.summary(time, direction, sequence, &summary),
            _ => intercept.hi1(time, sequence, Hi1Change::Modified, Some(&"192.0.2.1".into())).unwrap(),
        });
    }
    assert!(count >= 10_000);
    let Some(samples) = shared("vectors/etsi-samples.ber") else { return };
    stream.extend(std::fs::read(samples).unwrap());
    count += 10;
    let Some(said) = check_etsi("etsi-mixed.ber", &stream) else { return };
    assert_eq!(said.unwrap(), format!("{count} PDUs, {length} of {length} bytes, 0 bad", length = stream.len()));
}

fn openssl(arguments: &[&str]) -> Option<Vec<u8>> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(error) => {
            assert_ne!(std::env::var("WRIT_REQUIRE_TOOLS").as_deref(), Ok("1"), "no openssl: {error}");
            eprintln!("skipped: no openssl");
            None
        }
    }
}

#[test]
fn openssl_opens_the_container() {
    for (cipher, length) in [("-aes-192-cbc", 24), ("-aes-256-cbc", 32)] {
        let key = packet(length);
        let packet = packet(77);
        let plain = content(&intercept(), 0x0102_0304, &packet);
        let mut out = vec![0; Sealer::bound(plain.len())];
        let mut sealer = Sealer::new(CaseKey::new(&key).unwrap(), time(TIME));
        let length = sealer.seal(&mut out, 0x0102_0304, &plain).unwrap();
        let Payload::Encrypted(container) = decode(&out[..length]).unwrap().0.payload else { panic!() };
        let file = file(&format!("container{cipher}"), &container.octets.0);
        let (key, vector) = (Octets(key).to_string(), "01020304".repeat(4));
        let file = file.to_str().unwrap();
        let Some(opened) = openssl(&["enc", "-d", cipher, "-K", &key, "-iv", &vector, "-nopad", "-in", file]) else {
            return;
        };
        // EncryptedPayload { byteCounter [0], payload [1] }, which ends with the packet, and zeros.
        assert_eq!((opened[0], opened[2..4].to_vec()), (0x30, vec![0x80, 8]));
        let end = 2 + usize::from(opened[1]);
        assert!(opened[..end].ends_with(&packet));
        assert!(opened[end..].iter().all(|octet| *octet == 0));
    }
}

#[test]
fn openssl_verifies_the_signatures() {
    for key in keys() {
        let mut integrity = Integrity::new(DataType::Cc, Cadence::default(), Some(Arc::clone(&key)));
        integrity.sent(time(TIME), 0, &content(&intercept(), 0, &packet(99)));
        let mut checks = Vec::new();
        while let Some(Due { check: Tri::IntegrityCheck(check), .. }) = integrity.last(time(TIME)).unwrap() {
            checks.push(check);
        }
        let [hash, signature] = &checks[..] else { panic!("{checks:?}") };
        // SubjectPublicKeyInfo: what stands before the key's own octets is fixed (RFC 8410, RFC 5480).
        let (name, before, point) = match key.public() {
            PublicKey::Ed25519(point) => ("ed25519", "302a300506032b6570032100", point),
            PublicKey::EcdsaP256(point) => ("p256", "3059301306072a8648ce3d020106082a8648ce3d030107034200", point),
        };
        let key = file(&format!("{name}.der"), &[octets(before), point].concat());
        let [value, signature] = [("value", &hash.value), ("signature", &signature.value)]
            .map(|(what, octets)| file(&format!("{name}.{what}"), &octets.0));
        let [key, value, signature] = [&key, &value, &signature].map(|path| path.to_str().unwrap());
        let verify = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key, "-rawin", "-in", value];
        let Some(said) = openssl(&[&verify[..], &["-sigfile", signature]].concat()) else { return };
        assert!(String::from_utf8_lossy(&said).contains("Signature Verified Successfully"));
    }
}
