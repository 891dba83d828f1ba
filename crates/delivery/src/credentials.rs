//! From the configured files to what a connection needs. Everything is read and checked before anything starts.

use crate::destination::{ConfigError, Destination, EncryptionSettings, Endpoint, IntegritySettings};
use crate::files::{Folder, Form, check_folder};
use crate::manner::{Checks, EtsiManner, KeepAlive, Manner, name_of};
use crate::route::Route;
use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use writ_digests::Stream as StreamKind;
use writ_encoder::etsi::{Cadence, CaseKeys, SigningKey};
use writ_encoder::handover::{Format, Terms};

/// How connections to one endpoint are protected.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Not at all: the configuration says why that will do.
    Plain,
    /// TLS 1.3, certificates on both sides.
    Tls {
        /// Keys and authorities.
        config: Arc<ClientConfig>,
        /// The name that the agency's certificate must bear.
        server_name: ServerName<'static>,
    },
}

/// No certificate or key file is larger.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// Between two messages about what was lost of a delivery, when the configuration does not say.
const LOSS_NOTICE_SECONDS: u16 = 60;

impl Destination {
    /// Checks the section and the files and folders that it names: the ways of the CmII and of the CmC stream.
    pub fn load(&self, place: &str) -> Result<[Route; 2], ConfigError> {
        self.check(place)?;
        let refuse = |field: &str, problem: &str, remedy: &str| ConfigError {
            field: format!("{place}.{field}"),
            file: None,
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        };
        if let Some(folder) = &self.folder {
            let form = match self.format {
                Format::Files => Form::Drop(self.rotate.unwrap_or_default()),
                _ => Form::Streams,
            };
            check_folder(folder, form).map_err(|bad| ConfigError {
                file: Some(folder.clone()),
                ..refuse("folder", &bad.problem, bad.remedy)
            })?;
            return Ok(Folder::both(folder, form).map(Route::Files));
        }
        let config = match &self.tls {
            Some(tls) => Some(Arc::new(client_config(&tls.ca, Some((&tls.cert, &tls.key)), &format!("{place}.tls"))?)),
            None => None,
        };
        let manner = self.manner(place)?;
        let route = |stream: StreamKind, endpoint: &Option<Endpoint>| {
            // `check` has seen to it that there is one for each stream that the format has.
            let Some(endpoint) = endpoint.clone() else { return Ok(Route::Nowhere) };
            if self.goes_in_datagrams(stream) {
                return Ok(Route::Datagrams(endpoint));
            }
            let transport = match (&self.tls, &config) {
                (Some(tls), Some(config)) => {
                    let name = tls.server_name.as_deref().unwrap_or(&endpoint.host);
                    let server_name = server_name(name, &format!("{place}.tls"))?;
                    Transport::Tls { config: config.clone(), server_name }
                }
                _ => Transport::Plain,
            };
            Ok(match manner.clone() {
                Some(manner) => Route::Conversation { endpoint, transport, manner },
                None => Route::Endpoint { endpoint, transport },
            })
        };
        Ok([route(StreamKind::Cmii, &self.cmii)?, route(StreamKind::Cmc, &self.cmc)?])
    }

    /// What is said beside the PDUs, if the format knows anything of the kind.
    fn manner(&self, place: &str) -> Result<Option<Manner>, ConfigError> {
        let settings = self.keep_alive.unwrap_or_default();
        let keep_alive = KeepAlive {
            idle: (settings.idle_seconds > 0).then(|| Duration::from_secs(settings.idle_seconds.into())),
            answer: Duration::from_secs(settings.answer_seconds.into()),
        };
        match self.terms() {
            Some(Terms::X3(_)) => Ok(Some(Manner::X3(keep_alive))),
            Some(Terms::Etsi(terms)) => {
                let name = name_of(&terms).map_err(|error| ConfigError {
                    field: format!("{place}.etsi"),
                    file: None,
                    problem: format!("does not fit the handover ({error})"),
                    remedy: "correct it".to_owned(),
                })?;
                let integrity = self.integrity.as_ref().map(|settings| settings.load(place)).transpose()?;
                let keys = self.encryption.as_ref().map(|settings| settings.load(place).map(Arc::new)).transpose()?;
                let seconds = self.loss_notice_seconds.unwrap_or(LOSS_NOTICE_SECONDS);
                Ok(Some(Manner::Etsi(Arc::new(EtsiManner {
                    name,
                    keep_alive,
                    acknowledge: self.acknowledge,
                    integrity,
                    keys,
                    loss_notices: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
                }))))
            }
            _ => Ok(None),
        }
    }
}

impl IntegritySettings {
    fn load(&self, place: &str) -> Result<Checks, ConfigError> {
        let cadence = Cadence {
            pdus: self.hash_pdus,
            hash_micros: u32::from(self.hash_seconds) * 1_000_000,
            hashes: self.signature_hashes,
            signature_micros: u32::from(self.signature_seconds) * 1_000_000,
        };
        let Some(file) = &self.key else { return Ok(Checks { cadence, key: None }) };
        let setting = Setting { field: format!("{place}.integrity.key"), file: file.as_path().into() };
        const REMEDY: &str = "make one with `openssl genpkey -algorithm ed25519 -out FILE`";
        let PrivateKeyDer::Pkcs8(der) = setting.private_key()? else {
            return Err(setting.refuse("holds a key that is not PKCS #8".to_owned(), REMEDY));
        };
        let key = SigningKey::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| setting.refuse("holds a key that is neither Ed25519 nor P-256".to_owned(), REMEDY))?;
        Ok(Checks { cadence, key: Some(Arc::new(key)) })
    }
}

impl EncryptionSettings {
    fn load(&self, place: &str) -> Result<CaseKeys, ConfigError> {
        let setting = Setting { field: format!("{place}.encryption.keys"), file: self.keys.as_path().into() };
        let text = setting.read(setting.open_private()?)?;
        let text =
            String::from_utf8(text).map_err(|_| setting.refuse("is no text".to_owned(), "name the file of keys"))?;
        CaseKeys::parse(&text).map_err(|error| {
            setting.refuse(error.to_string(), "write `LIID KEY` on each line, the key in 48 or 64 hexadecimal digits")
        })
    }
}

/// The name that a peer's certificate must bear.
pub(crate) fn server_name(name: &str, place: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(name.to_owned()).map_err(|_| ConfigError {
        field: format!("{place}.server_name"),
        file: None,
        problem: format!("`{name}` cannot be the name in a certificate"),
        remedy: "set it to the DNS name or address that the other side's certificate bears".to_owned(),
    })
}

/// TLS 1.3 towards a peer whose certificate comes from `ca`; `identity` is our own certificate and its key, where the
/// peer asks for one.
pub(crate) fn client_config(
    ca: &Path,
    identity: Option<(&Path, &Path)>,
    place: &str,
) -> Result<ClientConfig, ConfigError> {
    let setting = |name: &'static str, file: &'_ Path| Setting { field: format!("{place}.{name}"), file: file.into() };
    let ca = setting("ca", ca);
    let mut roots = RootCertStore::empty();
    for authority in ca.certificates()? {
        roots.add(authority).map_err(|error| {
            ca.refuse(format!("holds a certificate that cannot be an authority ({error})"), "get the CA file again")
        })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| ca.refuse(format!("TLS 1.3 is not available ({error})"), "rebuild with rustls and ring"))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert_file, key_file)) => {
            let (cert, key) = (setting("cert", cert_file), setting("key", key_file));
            builder.with_client_auth_cert(cert.certificates()?, key.private_key()?).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => key.refuse(
                    format!("is not the key of the certificate in {}", cert_file.display()),
                    "name the key that the certificate was made for",
                ),
                rustls::Error::InvalidCertificate(_) => {
                    cert.refuse(format!("holds a certificate that cannot be used ({error})"), "have it issued again")
                }
                _ => key.refuse(
                    format!("holds a key that cannot be used ({error})"),
                    "use an ECDSA (P-256, P-384), Ed25519 or RSA key of at least 2048 bits",
                ),
            })?
        }
    };
    // A resumed session would not show certificates again, on either side.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A setting that names a file.
struct Setting {
    field: String,
    file: Box<Path>,
}

impl Setting {
    fn refuse(&self, problem: String, remedy: &str) -> ConfigError {
        ConfigError {
            field: self.field.clone(),
            file: Some(self.file.to_path_buf()),
            problem,
            remedy: remedy.to_owned(),
        }
    }

    fn open(&self) -> Result<File, ConfigError> {
        File::open(&self.file).map_err(|error| {
            self.refuse(format!("cannot be opened ({error})"), "check the path and who may read the file")
        })
    }

    /// Opens a file that nobody but its owner may read, who is this process's user or root.
    fn open_private(&self) -> Result<File, ConfigError> {
        let file = self.open()?;
        let metadata = file
            .metadata()
            .map_err(|error| self.refuse(format!("cannot be looked at ({error})"), "check that it is a plain file"))?;
        if !metadata.is_file() {
            return Err(self.refuse("is no plain file".to_owned(), "name the file itself"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(self.refuse("may be read or written by others than its owner".to_owned(), "chmod 600 it"));
        }
        if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
            return Err(self.refuse("belongs to another user".to_owned(), "chown it to the probe's user or to root"));
        }
        Ok(file)
    }

    fn read(&self, file: File) -> Result<Vec<u8>, ConfigError> {
        let mut text = Vec::new();
        file.take(MAX_PEM_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(|error| self.refuse(format!("cannot be read ({error})"), "check that it is a plain file"))?;
        if text.len() as u64 > MAX_PEM_BYTES {
            return Err(self.refuse("is larger than 1 MiB".to_owned(), "name a PEM file"));
        }
        Ok(text)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        const REMEDY: &str = "put PEM certificates (-----BEGIN CERTIFICATE-----) into it";
        let text = self.read(self.open()?)?;
        let certificates = CertificateDer::pem_slice_iter(&text)
            .map(|certificate| certificate.map(CertificateDer::into_owned))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.refuse(format!("is not whole PEM ({error})"), REMEDY))?;
        if certificates.is_empty() {
            return Err(self.refuse("holds no certificate".to_owned(), REMEDY));
        }
        Ok(certificates)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, ConfigError> {
        let file = self.open()?;
        let mode = file.metadata().map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o007 != 0) {
            return Err(self.refuse("may be read by every user".to_owned(), "chmod 600 it, or 640 with a group"));
        }
        let text = self.read(file)?;
        PrivateKeyDer::from_pem_slice(&text).map(|key| key.clone_key()).map_err(|error| match error {
            pem::Error::NoItemsFound => self.refuse(
                "holds no private key".to_owned(),
                "put one PEM key without passphrase into it (-----BEGIN PRIVATE KEY-----)",
            ),
            // The error of a garbled file can quote its lines, and those are the key.
            _ => self.refuse("is not whole PEM".to_owned(), "copy the key file again"),
        })
    }
}
