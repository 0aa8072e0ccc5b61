//! What PostgreSQL wants to know of an X.509 certificate: names, serial number, and the hash of its
//! signature. rustls has verified a client's certificate before anybody reads it here.

use std::fmt::Write as _;

/// Tags of ASN.1's DER encoding.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    /// `[0]`, constructed: the version, and the hash in the parameters of RSA-PSS.
    pub(super) const CONTEXT_0: u8 = 0xa0;
}

/// The parts of a certificate, as they are encoded.
pub(super) struct Certificate<'a> {
    serial: &'a [u8],
    pub(super) issuer: Name<'a>,
    pub(super) subject: Name<'a>,
    /// `SubjectPublicKeyInfo`, with its tag and length.
    pub(super) public_key: &'a [u8],
    signature_algorithm: Reader<'a>,
}

impl<'a> Certificate<'a> {
    /// None if that is not the encoding of a certificate.
    pub(super) fn parse(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut outer = Reader(Reader(der).take(tag::SEQUENCE)?);
        let mut inner = Reader(outer.take(tag::SEQUENCE)?);
        let signature_algorithm = Reader(outer.take(tag::SEQUENCE)?);
        if inner.peek() == Some(tag::CONTEXT_0) {
            inner.element()?;
        }
        let serial = inner.take(tag::INTEGER)?;
        inner.take(tag::SEQUENCE)?; // the signature's algorithm, again
        let issuer = Name::parse(inner.take(tag::SEQUENCE)?)?;
        inner.take(tag::SEQUENCE)?; // validity
        let subject = Name::parse(inner.take(tag::SEQUENCE)?)?;
        let public_key = inner.element()?.all;
        Some(Certificate { serial, issuer, subject, public_key, signature_algorithm })
    }

    /// The serial number in decimal.
    pub(super) fn serial(&self) -> String {
        let negative = self.serial.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut number = self.serial.to_vec();
        if negative {
            // Two's complement: invert, and add one.
            let mut carry = true;
            for byte in number.iter_mut().rev() {
                let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
                (*byte, carry) = (sum, over);
            }
        }
        let mut digits = Vec::new();
        while number.iter().any(|byte| *byte != 0) {
            let mut rest = 0u32;
            for byte in &mut number {
                let value = rest * 256 + u32::from(*byte);
                *byte = (value / 10) as u8;
                rest = value % 10;
            }
            digits.push(char::from(b'0' + rest as u8));
        }
        if digits.is_empty() {
            digits.push('0');
        }
        if negative {
            digits.push('-');
        }
        digits.into_iter().rev().collect()
    }

    /// The hash that the certificate's signature is made of, which the channel binding
    /// `tls-server-end-point` is to use (RFC 5929); SHA-256 in place of MD5 and SHA-1. None for
    /// signatures without a hash of their own (Ed25519).
    pub(super) fn signature_hash(&self) -> Option<&'static str> {
        let mut algorithm = self.signature_algorithm;
        let identifier = algorithm.take(tag::OBJECT_IDENTIFIER)?;
        match dotted(identifier).as_str() {
            "1.2.840.113549.1.1.4" // md5WithRSAEncryption
            | "1.2.840.113549.1.1.5" // sha1WithRSAEncryption
            | "1.2.840.10045.4.1" // ecdsa-with-SHA1
            | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Some("SHA256"),
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some("SHA384"),
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some("SHA512"),
            "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Some("SHA224"),
            "1.2.840.113549.1.1.10" => pss_hash(algorithm),
            _ => None,
        }
    }
}

/// The hash in the parameters of an RSA-PSS signature; SHA-1 if they name none.
fn pss_hash(mut algorithm: Reader<'_>) -> Option<&'static str> {
    let mut parameters = Reader(algorithm.take(tag::SEQUENCE)?);
    if parameters.peek() != Some(tag::CONTEXT_0) {
        return Some("SHA256");
    }
    let mut hash = Reader(Reader(parameters.take(tag::CONTEXT_0)?).take(tag::SEQUENCE)?);
    match dotted(hash.take(tag::OBJECT_IDENTIFIER)?).as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some("SHA256"),
        "2.16.840.1.101.3.4.2.2" => Some("SHA384"),
        "2.16.840.1.101.3.4.2.3" => Some("SHA512"),
        "2.16.840.1.101.3.4.2.4" => Some("SHA224"),
        _ => None,
    }
}

/// A distinguished name: attributes in the order of the encoding.
pub(super) struct Name<'a>(Vec<Attribute<'a>>);

struct Attribute<'a> {
    /// Attributes with the same number stand in one set: `CN=a+UID=b`.
    set: usize,
    identifier: &'a [u8],
    value: Element<'a>,
}

impl<'a> Name<'a> {
    fn parse(contents: &'a [u8]) -> Option<Name<'a>> {
        let mut attributes = Vec::new();
        let mut sets = Reader(contents);
        let mut number = 0;
        while !sets.0.is_empty() {
            let mut set = Reader(sets.take(tag::SET)?);
            while !set.0.is_empty() {
                let mut pair = Reader(set.take(tag::SEQUENCE)?);
                let identifier = pair.take(tag::OBJECT_IDENTIFIER)?;
                attributes.push(Attribute { set: number, identifier, value: pair.element()? });
            }
            number += 1;
        }
        Some(Name(attributes))
    }

    /// The bytes of the first common name, as they are encoded.
    pub(super) fn common_name(&self) -> Option<&'a [u8]> {
        const COMMON_NAME: &[u8] = &[0x55, 4, 3];
        let attribute = self.0.iter().find(|attribute| attribute.identifier == COMMON_NAME)?;
        Some(attribute.value.contents)
    }

    /// As RFC 2253 has it, last attribute first, all that is not ASCII escaped: OpenSSL's
    /// `XN_FLAG_RFC2253`.
    pub(super) fn rfc2253(&self) -> String {
        let mut text = String::new();
        let mut last_set = None;
        for attribute in self.0.iter().rev() {
            match last_set {
                Some(set) if set == attribute.set => text.push('+'),
                Some(_) => text.push(','),
                None => {}
            }
            last_set = Some(attribute.set);
            let identifier = dotted(attribute.identifier);
            match short_name(&identifier) {
                Some(name) => {
                    let _ = write!(text, "{name}=");
                    attribute.value.escape(true, &mut text);
                }
                None => {
                    let _ = write!(text, "{identifier}=");
                    attribute.value.dump(&mut text);
                }
            }
        }
        text
    }

    /// `/C=.../CN=...`, first attribute first, as in `pg_stat_ssl`.
    pub(super) fn slashes(&self) -> String {
        let mut text = String::new();
        for attribute in &self.0 {
            let identifier = dotted(attribute.identifier);
            let _ = write!(text, "/{}=", short_name(&identifier).unwrap_or(&identifier));
            attribute.value.escape(false, &mut text);
        }
        text
    }
}

/// OpenSSL's short names of the attributes that occur in names.
fn short_name(identifier: &str) -> Option<&'static str> {
    Some(match identifier {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.45" => "x500UniqueIdentifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "2.5.4.97" => "organizationIdentifier",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.3.6.1.4.1.311.60.2.1.1" => "jurisdictionL",
        "1.3.6.1.4.1.311.60.2.1.2" => "jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.3" => "jurisdictionC",
        _ => return None,
    })
}

/// An object identifier with dots.
fn dotted(encoded: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0u128;
    let mut first = true;
    for byte in encoded {
        number = (number << 7) | u128::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if first {
            let arc = (number / 40).min(2);
            let _ = write!(text, "{arc}.{}", number - 40 * arc);
            first = false;
        } else {
            let _ = write!(text, ".{number}");
        }
        number = 0;
    }
    text
}

/// A position in DER; elements are taken off its front.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    all: &'a [u8],
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element; none at the end, and if the encoding is wrong.
    fn element(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, rest) = rest.split_first()?;
        let (len, rest) = if short < 0x80 {
            (usize::from(short), rest)
        } else {
            let bytes = usize::from(short & 0x7f);
            // Longer than 4 GB is no certificate, and 0 is BER's indefinite form.
            if bytes == 0 || bytes > 4 {
                return None;
            }
            let (len, rest) = rest.split_at_checked(bytes)?;
            (len.iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte)), rest)
        };
        let (contents, rest) = rest.split_at_checked(len)?;
        let all = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Element { tag, contents, all })
    }

    /// The contents of the next element, if it has that tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|element| element.tag == tag).map(|element| element.contents)
    }
}

impl Element<'_> {
    /// The characters of a string type; none for other types.
    fn characters(&self) -> Option<Vec<char>> {
        let lossy = |code: u32| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        Some(match self.tag {
            0x0c => String::from_utf8_lossy(self.contents).chars().collect(),
            // Numeric, printable, T.61 (read as Latin-1, as everybody does), IA5, visible.
            0x12 | 0x13 | 0x14 | 0x16 | 0x1a => {
                self.contents.iter().map(|byte| char::from(*byte)).collect()
            }
            // UniversalString.
            0x1c => self
                .contents
                .chunks(4)
                .map(|unit| lossy(unit.iter().fold(0, |code, byte| code << 8 | u32::from(*byte))))
                .collect(),
            // BMPString.
            0x1e => self
                .contents
                .chunks(2)
                .map(|unit| lossy(unit.iter().fold(0, |code, byte| code << 8 | u32::from(*byte))))
                .collect(),
            _ => return None,
        })
    }

    /// Appends the value as RFC 2253 escapes it.
    fn escape(&self, ascii_only: bool, text: &mut String) {
        let Some(characters) = self.characters() else { return self.dump(text) };
        let last = characters.len().wrapping_sub(1);
        for (index, character) in characters.into_iter().enumerate() {
            match character {
                ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
                '#' if index == 0 => text.push_str("\\#"),
                ' ' if index == 0 || index == last => text.push_str("\\ "),
                control if control.is_ascii_control() => {
                    let _ = write!(text, "\\{:02X}", u32::from(control));
                }
                other if ascii_only && !other.is_ascii() => {
                    for byte in other.encode_utf8(&mut [0; 4]).bytes() {
                        let _ = write!(text, "\\{byte:02X}");
                    }
                }
                other => text.push(other),
            }
        }
    }

    /// Appends the encoding in hexadecimal: what RFC 2253 has for values that are no strings.
    fn dump(&self, text: &mut String) {
        text.push('#');
        for byte in self.all {
            let _ = write!(text, "{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `30 len` in front of the contents, for names put together by hand.
    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, u8::try_from(contents.len()).expect("a short element")];
        bytes.extend_from_slice(contents);
        bytes
    }

    fn attribute(identifier: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        element(0x30, &[element(0x06, identifier), element(tag, value)].concat())
    }

    /// Names as OpenSSL 3 prints them: `openssl x509 -nameopt RFC2253`.
    #[test]
    fn names_are_printed_as_openssl_prints_them() {
        const CN: &[u8] = &[0x55, 4, 3];
        const O: &[u8] = &[0x55, 4, 10];
        const UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];
        const UNKNOWN: &[u8] = &[0x2a, 3, 4];
        let cases: &[(Vec<Vec<u8>>, &str, &str)] = &[
            (
                vec![attribute(O, 0x13, b"PGDG"), attribute(CN, 0x0c, b"ssltestuser")],
                "CN=ssltestuser,O=PGDG",
                "/O=PGDG/CN=ssltestuser",
            ),
            (
                vec![attribute(CN, 0x0c, " a, \"b\"\u{e9}\n ".as_bytes())],
                "CN=\\ a\\, \\\"b\\\"\\C3\\A9\\0A\\ ",
                "/CN=\\ a\\, \\\"b\\\"\u{e9}\\0A\\ ",
            ),
            (vec![attribute(CN, 0x1e, &[0x20, 0xac])], "CN=\\E2\\82\\AC", "/CN=\u{20ac}"),
            (vec![attribute(UNKNOWN, 0x0c, b"x")], "1.2.3.4=#0C0178", "/1.2.3.4=x"),
            (vec![], "", ""),
        ];
        for (sets, rfc2253, slashes) in cases {
            let sets: Vec<u8> = sets.iter().flat_map(|pair| element(0x31, pair)).collect();
            let name = Name::parse(&sets).expect("a name");
            assert_eq!(name.rfc2253(), *rfc2253);
            assert_eq!(name.slashes(), *slashes);
        }
        let both = [attribute(CN, 0x0c, b"a"), attribute(UID, 0x0c, b"b")].concat();
        let sets = [element(0x31, &attribute(O, 0x0c, b"o")), element(0x31, &both)].concat();
        let name = Name::parse(&sets).expect("a name");
        assert_eq!(name.rfc2253(), "UID=b+CN=a,O=o");
        assert_eq!(name.common_name(), Some(&b"a"[..]));
    }

    #[test]
    fn serial_numbers_are_decimal() {
        let serial = |bytes: &[u8]| {
            let name = || Name(Vec::new());
            Certificate {
                serial: bytes,
                issuer: name(),
                subject: name(),
                public_key: &[],
                signature_algorithm: Reader(&[]),
            }
            .serial()
        };
        assert_eq!(serial(&[0]), "0");
        assert_eq!(serial(&[0, 0xff]), "255");
        assert_eq!(serial(&[0xff]), "-1");
        assert_eq!(serial(&[0xff, 0x00]), "-256");
        assert_eq!(
            serial(&[0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            "340282366920938463463374607431768211456"
        );
    }

    #[test]
    fn damaged_certificates_are_refused() {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a key");
        let der = key.cert.der().to_vec();
        let certificate = Certificate::parse(&der).expect("a certificate");
        assert_eq!(certificate.signature_hash(), Some("SHA256"));
        assert_eq!(certificate.subject.rfc2253(), "CN=rcgen self signed cert");
        for len in 0..der.len() {
            assert!(Certificate::parse(&der[..len]).is_none(), "cut off at {len}");
        }
        // Whatever is changed: no panic.
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x81;
            if let Some(certificate) = Certificate::parse(&changed) {
                let _ = (certificate.subject.rfc2253(), certificate.issuer.slashes());
                let _ = (certificate.serial(), certificate.signature_hash());
            }
        }
    }
}
