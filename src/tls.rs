//! [`Tls`]: the certificate that a server shows its clients.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd,
};

use crate::cluster::RUN_DIR;
use crate::error::{ConfigError, Error};
use crate::kernel::tls::{Config, Part, Settings};
use crate::options::ServerStart;

/// A certificate with its private key, for a server that encrypts its connections.
///
/// With it, clients can connect with `sslmode=require`, and with `sslmode=verify-full` if they trust the
/// certificate. PostgreSQL itself reads it, by its settings `ssl`, `ssl_cert_file` and `ssl_key_file`.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Tls;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let tls = Tls::self_signed()?;
/// // What a client is to trust: libpq's sslrootcert, for example.
/// assert!(tls.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    chain: Vec<u8>,
    key: Vec<u8>,
    /// Where chain and key were read, for messages.
    files: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// A new key (P-256) and a certificate for it that nobody but itself vouches for, for `localhost`,
    /// `127.0.0.1` and `::1`.
    ///
    /// It is another one at each call. Give [`certificate_pem`](Tls::certificate_pem) to clients that are
    /// to verify it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no key can be made, as the system gives no random numbers.
    pub fn self_signed() -> Result<Tls, Error> {
        let failed = |error: rcgen::Error| {
            Error::Config(ConfigError::Certificate { reason: error.to_string() })
        };
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        // No key usage: OpenSSL would want the signing of certificates in it, as this one signs itself.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // It is not kept. A wide range also serves machines whose clock is wrong.
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2099, 12, 31);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Tls::from_pem(certificate.pem(), key.serialize_pem()))
    }

    /// A certificate and its private key, both in PEM format. After the certificate may come those of
    /// intermediate authorities. The key (RSA, P-256, P-384 or Ed25519) must not be encrypted.
    ///
    /// They are checked when a server starts with them: without a certificate or a key, or if the two do
    /// not belong together, that is [`ConfigError::Certificate`]. Whether the certificate has expired is
    /// for the clients to judge.
    pub fn from_pem(certificate_chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Tls {
        Tls { chain: certificate_chain.as_ref().to_vec(), key: key.as_ref().to_vec(), files: None }
    }

    /// As [`from_pem`](Tls::from_pem), from two files, which are read at once. Errors name the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Certificate`] if a file cannot be read. What is in them is checked when a server
    /// starts.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{PgliteServer, Tls};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let (cert, key) = (dir.path().join("server.crt"), dir.path().join("server.key"));
    /// # let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    /// # std::fs::write(&cert, made.cert.pem())?;
    /// # std::fs::write(&key, made.signing_key.serialize_pem())?;
    /// let server = PgliteServer::builder().tls(Tls::from_pem_files(cert, key)?).start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_pem_files(
        certificate_chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Tls, Error> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| {
                let reason = format!("cannot read {}: {error}", path.display());
                Error::Config(ConfigError::Certificate { reason })
            })
        };
        let (chain_file, key_file) = (certificate_chain.as_ref(), key.as_ref());
        let files = Some((chain_file.to_owned(), key_file.to_owned()));
        Ok(Tls { chain: read(chain_file)?, key: read(key_file)?, files })
    }

    /// The certificate, with what follows it, in PEM format: for clients that are to trust it.
    pub fn certificate_pem(&self) -> String {
        String::from_utf8_lossy(&self.chain).into_owned()
    }

    /// Has a server start with it, if it can be used.
    pub(crate) fn install(&self, start: &mut ServerStart) -> Result<(), Error> {
        self.check()?;
        start.settings.push(("ssl".to_owned(), "on".to_owned()));
        let files = [
            ("ssl_cert_file", "server.crt", &self.chain),
            ("ssl_key_file", "server.key", &self.key),
        ];
        for (setting, name, contents) in files {
            let path = format!("{RUN_DIR}/{name}");
            start.settings.push((setting.to_owned(), path.clone()));
            start.files.push((path, contents.clone()));
        }
        Ok(())
    }

    /// Refuses what PostgreSQL would not start with.
    fn check(&self) -> Result<(), Error> {
        let settings = Settings { chain: &self.chain, key: &self.key, ..Settings::default() };
        let Err(error) = Config::new(&settings) else { return Ok(()) };
        let subject = match (error.part, &self.files) {
            (Part::Chain, None) => "the certificate".to_owned(),
            (Part::Chain, Some((chain, _))) => format!("the certificate in {}", chain.display()),
            (Part::Key, None) => "the private key".to_owned(),
            (Part::Key, Some((_, key))) => format!("the private key in {}", key.display()),
            (_, None) => "certificate and private key".to_owned(),
            (_, Some((chain, key))) => {
                format!("the certificate in {} and the key in {}", chain.display(), key.display())
            }
        };
        let reason = format!("{subject}: {error}");
        Err(Error::Config(ConfigError::Certificate { reason }))
    }
}

// The key is nobody's business.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate_pem()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let (good, other) = (Tls::self_signed().unwrap(), Tls::self_signed().unwrap());
        let cases: &[(Tls, &str)] = &[
            (Tls::from_pem("", &good.key), "the certificate: no certificate in PEM format found"),
            (Tls::from_pem(&good.chain, ""), "the private key: no private key in PEM format found"),
            (Tls::from_pem(&good.chain, &other.key), "key values mismatch"),
        ];
        for (tls, expected) in cases {
            let message = tls.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        good.check().unwrap();
        Tls::from_pem(good.certificate_pem(), &good.key).check().unwrap();
    }

    #[test]
    fn the_key_is_not_shown() {
        let tls = Tls::self_signed().unwrap();
        assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
    }
}
