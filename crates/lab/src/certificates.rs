//! Certificates for the handover: the agency's authority, the agency's server, the probe, and strangers for refusals.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::LabError;

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key (PKCS #8), mode 0600.
    pub key: PathBuf,
}

/// PEM files of two authorities that do not know each other.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority that agency and operator trust.
    pub authority: PathBuf,
    /// The agency's collector.
    pub agency: Identity,
    /// The probe.
    pub probe: Identity,
    /// Another authority, with a server and a client of its own.
    pub strange_authority: PathBuf,
    /// Has the agency's names, from the wrong authority.
    pub strange_agency: Identity,
    /// Has the probe's name, from the wrong authority.
    pub strange_probe: Identity,
}

impl Certificates {
    /// Issues all of them into a directory. `agency_names`: host names and addresses that the agency's server answers to.
    pub fn issue(directory: &Path, agency_names: &[&str]) -> Result<Self, LabError> {
        fs::create_dir_all(directory).map_err(LabError::io(directory.display().to_string()))?;
        let (authority, known) = new_authority(directory, "authority")?;
        let (strange_authority, strange) = new_authority(directory, "strange-authority")?;
        let probe = ["probe.invalid"];
        Ok(Certificates {
            agency: issue(directory, "agency", &known, agency_names, ExtendedKeyUsagePurpose::ServerAuth)?,
            probe: issue(directory, "probe", &known, &probe, ExtendedKeyUsagePurpose::ClientAuth)?,
            strange_agency: issue(
                directory,
                "strange-agency",
                &strange,
                agency_names,
                ExtendedKeyUsagePurpose::ServerAuth,
            )?,
            strange_probe: issue(directory, "strange-probe", &strange, &probe, ExtendedKeyUsagePurpose::ClientAuth)?,
            authority,
            strange_authority,
        })
    }
}

/// An authority that signs others, and its certificate's file.
fn new_authority(directory: &Path, name: &str) -> Result<(PathBuf, Issuer<'static, KeyPair>), LabError> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.distinguished_name.push(DnType::CommonName, format!("Writ lab {name}"));
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let path = directory.join(format!("{name}.pem"));
    write(&path, &certificate.pem(), 0o644)?;
    Ok((path, Issuer::new(parameters, key)))
}

fn issue(
    directory: &Path,
    name: &str,
    issuer: &Issuer<'_, KeyPair>,
    subjects: &[&str],
    purpose: ExtendedKeyUsagePurpose,
) -> Result<Identity, LabError> {
    let mut parameters = CertificateParams::new(subjects.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    parameters.distinguished_name.push(DnType::CommonName, format!("Writ lab {name}"));
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, issuer)?;
    let identity =
        Identity { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
    write(&identity.certificate, &certificate.pem(), 0o644)?;
    write(&identity.key, &key.serialize_pem(), 0o600)?;
    Ok(identity)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), LabError> {
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    open.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(LabError::io(path.display().to_string()))
}
