//! From the configured files to what a connection needs. Everything is read and checked before anything starts.

use crate::destination::{ConfigError, Destination, Endpoint};
use crate::files::{Folder, Form, check_folder};
use crate::route::Route;
use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use writ_encoder::handover::Format;

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
        // `check` has seen to it that both are there.
        let missing = || refuse("cmii", "is missing", "give cmii and cmc, or folder");
        let endpoints = [self.cmii.as_ref().ok_or_else(missing)?, self.cmc.as_ref().ok_or_else(missing)?];
        let Some(tls) = &self.tls else {
            return Ok(
                endpoints.map(|endpoint| Route::Endpoint { endpoint: endpoint.clone(), transport: Transport::Plain })
            );
        };
        let config = Arc::new(client_config(&tls.ca, Some((&tls.cert, &tls.key)), &format!("{place}.tls"))?);
        let route = |endpoint: &Endpoint| {
            let name = tls.server_name.as_deref().unwrap_or(&endpoint.host);
            let server_name = server_name(name, &format!("{place}.tls"))?;
            let transport = Transport::Tls { config: config.clone(), server_name };
            Ok(Route::Endpoint { endpoint: endpoint.clone(), transport })
        };
        let [cmii, cmc] = endpoints;
        Ok([route(cmii)?, route(cmc)?])
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
