//! TLS as the collector speaks it: version 1.3 only, and a client certificate or no session.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{StoresServerSessions, WebPkiClientVerifier},
};

use crate::config::{Origin, Problem, TlsFiles};

/// Loads the collector's certificate and key and the authorities of its clients.
///
/// # Errors
/// A file that is missing or holds something else, a key of another certificate, an authority that cannot be used.
pub(crate) fn server_config(files: &TlsFiles, origin: &Origin) -> Result<Arc<ServerConfig>, Problem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&files.cert, "tls.cert", origin)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unreadable(origin, "tls.key", &files.key, "private key", &error))?;

    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.client_ca, "tls.client_ca", origin)? {
        roots.add(authority).map_err(|error| {
            let what = format!("{}: {error}", files.client_ca.display());
            origin.problem("tls.client_ca", what, "give the PEM certificate of the authority that issued the probes'")
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| {
            let what = format!("{}: {error}", files.client_ca.display());
            origin.problem("tls.client_ca", what, "give at least one authority's certificate")
        })?;

    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .map_err(|error| {
            let what = format!("{} does not go with {}: {error}", files.key.display(), files.cert.display());
            origin.problem("tls.key", what, "give the private key that the certificate was issued for")
        })?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(SignOfAcceptance);
    Ok(Arc::new(config))
}

/// Lets a ticket be sent, and no session be resumed with it.
///
/// In TLS 1.3 a client's handshake is over before the server has looked at the client's certificate. The ticket, which
/// comes after that look, is how a probe knows that what it sends from now on is taken.
#[derive(Debug)]
struct SignOfAcceptance;

impl StoresServerSessions for SignOfAcceptance {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        true
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

fn certificates(path: &Path, field: &str, origin: &Origin) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(origin, field, path, "certificate", &error))?;
    if found.is_empty() {
        return Err(unreadable(origin, field, path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unreadable(origin: &Origin, field: &str, path: &Path, kind: &str, error: &pem::Error) -> Problem {
    let what = match error {
        pem::Error::NoItemsFound => format!("{}: holds no {kind}", path.display()),
        error => format!("{}: {error}", path.display()),
    };
    origin.problem(field, what, format!("give a readable PEM file with a {kind}"))
}
