//! What all TLS sessions of a cluster have in common: made from PostgreSQL's settings and files.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, SupportedProtocolVersion};

use super::certificate::Certificate;
use super::ciphers;

/// What a configuration is made of. Files are as they were read: PEM.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    /// The server's certificate, followed by those of intermediate authorities.
    pub(crate) chain: &'a [u8],
    pub(crate) key: &'a [u8],
    /// Authorities of clients' certificates; with none, clients are not asked for a certificate.
    pub(crate) authorities: &'a [u8],
    /// Revocation lists for clients' certificates; with none, nothing is taken for revoked.
    pub(crate) revoked: &'a [u8],
    pub(crate) protocol: &'a [u8],
    /// In OpenSSL's language.
    pub(crate) ciphers: &'a str,
    /// By OpenSSL's name.
    pub(crate) curve: &'a str,
    pub(crate) prefer_server_ciphers: bool,
    pub(crate) versions: Versions,
}

/// No files; else PostgreSQL's defaults.
impl Default for Settings<'_> {
    fn default() -> Self {
        Settings {
            chain: &[],
            key: &[],
            authorities: &[],
            revoked: &[],
            protocol: b"postgresql",
            ciphers: "HIGH:MEDIUM:+3DES:!aNULL",
            curve: "prime256v1",
            prefer_server_ciphers: true,
            versions: Versions { min: 12, max: 13 },
        }
    }
}

/// A range of TLS versions; each bound is 12 or 13.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// Which of the [`Settings`] an error is about. The numbers are those of assets/wasix/pglite.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Part {
    Chain = 1,
    Key = 2,
    /// Certificate and key, each good by itself.
    Pair = 3,
    Authorities = 4,
    Revoked = 5,
    Ciphers = 6,
    Curve = 7,
    Versions = 8,
}

#[derive(Debug)]
pub(crate) struct ConfigError {
    pub(crate) part: Part,
    pub(crate) reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Makes an error about a part of what is fit for `map_err`.
fn about<E: fmt::Display>(part: Part) -> impl FnOnce(E) -> ConfigError {
    move |error| ConfigError { part, reason: error.to_string() }
}

/// A configuration that sessions are made from.
pub(crate) struct Config {
    pub(super) server: Arc<ServerConfig>,
    pub(super) certificate: CertificateDer<'static>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

impl Config {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Config, ConfigError> {
        let provider = Arc::new(provider(settings)?);
        let pair = pair(settings, &provider)?;
        let certificate = pair.cert[0].clone();
        let verifier = verifier(settings, &provider)?;
        let Versions { min, max } = settings.versions;
        let versions: Vec<&'static SupportedProtocolVersion> = [(12, &TLS12), (13, &TLS13)]
            .into_iter()
            .filter(|(number, _)| (min..=max).contains(number))
            .map(|(_, version)| version)
            .collect();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(about(Part::Versions))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        server.alpn_protocols = vec![settings.protocol.to_vec()];
        server.ignore_client_order = settings.prefer_server_ciphers;
        // No resumption, as PostgreSQL wants it: no tickets, no cache.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Config { server: Arc::new(server), certificate })
    }
}

fn provider(settings: &Settings<'_>) -> Result<CryptoProvider, ConfigError> {
    let mut provider = ring::default_provider();
    let chosen = ciphers::choose(settings.ciphers);
    if chosen.is_empty() {
        let reason = "no valid ciphers available";
        return Err(ConfigError { part: Part::Ciphers, reason: reason.into() });
    }
    let (mut suites, available): (Vec<_>, Vec<_>) =
        provider.cipher_suites.into_iter().partition(|suite| suite.tls13().is_some());
    suites
        .extend(chosen.iter().filter_map(|id| available.iter().find(|suite| suite.suite() == *id)));
    provider.cipher_suites = suites;
    provider.kx_groups = vec![curve(settings.curve)?];
    Ok(provider)
}

fn curve(name: &str) -> Result<&'static dyn SupportedKxGroup, ConfigError> {
    match name {
        "prime256v1" => Ok(ring::kx_group::SECP256R1),
        "secp384r1" => Ok(ring::kx_group::SECP384R1),
        "X25519" => Ok(ring::kx_group::X25519),
        _ => Err(ConfigError {
            part: Part::Curve,
            reason: "the curves are prime256v1, secp384r1 and X25519".into(),
        }),
    }
}

/// The server's certificate with its key.
fn pair(settings: &Settings<'_>, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
    let chain = certificates(settings.chain, Part::Chain)?;
    let leaf = Certificate::parse(&chain[0]).ok_or_else(|| ConfigError {
        part: Part::Chain,
        reason: "the first certificate is damaged".into(),
    })?;
    let der = PrivateKeyDer::from_pem_slice(settings.key).map_err(|error| {
        let text = settings.key;
        let encrypted = ["ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
            .iter()
            .any(|mark| text.windows(mark.len()).any(|window| window == mark.as_bytes()));
        let reason = match error {
            _ if encrypted => "it is encrypted, and only unencrypted keys can be used".to_owned(),
            pem::Error::NoItemsFound => "no private key in PEM format found".to_owned(),
            other => other.to_string(),
        };
        ConfigError { part: Part::Key, reason }
    })?;
    let key = provider.key_provider.load_private_key(der).map_err(about(Part::Key))?;
    // Compared here and not by rustls, which cannot read version 1 certificates.
    if key.public_key().is_some_and(|public| public.as_ref() != leaf.public_key) {
        let reason = "key values mismatch";
        return Err(ConfigError { part: Part::Pair, reason: reason.into() });
    }
    Ok(CertifiedKey::new(chain, key))
}

/// At least one certificate.
fn certificates(pem: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(about(part))?;
    if certificates.is_empty() {
        let reason = "no certificate in PEM format found";
        return Err(ConfigError { part, reason: reason.into() });
    }
    Ok(certificates)
}

/// Asks clients for a certificate if there is somebody to vouch for it. One without a certificate passes
/// here: `pg_hba.conf` decides whether it may.
fn verifier(
    settings: &Settings<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
    if settings.authorities.is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates(settings.authorities, Part::Authorities)? {
        roots.add(certificate).map_err(about(Part::Authorities))?;
    }
    let revoked: Vec<_> = CertificateRevocationListDer::pem_slice_iter(settings.revoked)
        .collect::<Result<_, _>>()
        .map_err(about(Part::Revoked))?;
    if revoked.is_empty() && !settings.revoked.is_empty() {
        let reason = "no revocation list in PEM format found";
        return Err(ConfigError { part: Part::Revoked, reason: reason.into() });
    }
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .with_crls(revoked)
        .allow_unauthenticated()
        .build()
        .map_err(about(Part::Revoked))
}
