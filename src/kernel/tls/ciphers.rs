//! Cipher suites under OpenSSL's names, and OpenSSL's language for choosing among them.
//!
//! `ssl_ciphers` is written in that language. Of TLS 1.2 rustls has six suites, all with forward secrecy
//! and authenticated encryption; a list can choose among these. The suites of TLS 1.3 are not subject to
//! it, here or in OpenSSL.

use rustls::CipherSuite;

/// A suite of TLS 1.2, with the words of OpenSSL's language that mean it.
struct Suite {
    id: CipherSuite,
    name: &'static str,
    bits: u32,
    words: &'static [&'static str],
}

/// In the order of preference.
const TLS12: &[Suite] = &[
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        bits: 256,
        words: &["AES", "AES256", "AESGCM", "ECDSA", "aECDSA"],
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        bits: 256,
        words: &["AES", "AES256", "AESGCM", "aRSA"],
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        bits: 256,
        words: &["CHACHA20", "ECDSA", "aECDSA"],
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        bits: 256,
        words: &["CHACHA20", "aRSA"],
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        bits: 128,
        words: &["AES", "AES128", "AESGCM", "ECDSA", "aECDSA"],
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        bits: 128,
        words: &["AES", "AES128", "AESGCM", "aRSA"],
    },
];

/// Words that mean every suite of [`TLS12`].
const EVERY: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "TLSv1.2", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH"];

impl Suite {
    fn means(&self, word: &str) -> bool {
        word == self.name || EVERY.contains(&word) || self.words.contains(&word)
    }
}

/// The suites of TLS 1.2 that a list in OpenSSL's language chooses, in its order.
///
/// A word that rustls has no suite for chooses nothing, as a word that OpenSSL does not know.
pub(super) fn choose(list: &str) -> Vec<CipherSuite> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut forbidden = [false; TLS12.len()];
    for item in list.split([':', ',', ' ', ';']).filter(|item| !item.is_empty()) {
        if item == "@STRENGTH" {
            chosen.sort_by_key(|&index| std::cmp::Reverse(TLS12[index].bits));
            continue;
        }
        let (operator, words) = match item.as_bytes()[0] {
            operator @ (b'!' | b'-' | b'+') => (operator, &item[1..]),
            _ => (b' ', item),
        };
        let matching: Vec<usize> = (0..TLS12.len())
            .filter(|&index| words.split('+').all(|word| TLS12[index].means(word)))
            .collect();
        let is_matching = |index: &usize| matching.contains(index);
        match operator {
            b'!' => {
                matching.iter().for_each(|&index| forbidden[index] = true);
                chosen.retain(|index| !is_matching(index));
            }
            b'-' => chosen.retain(|index| !is_matching(index)),
            // To the end of the list, those that are in it.
            b'+' => chosen.sort_by_key(is_matching),
            _ => {
                let new: Vec<usize> = matching
                    .into_iter()
                    .filter(|&index| !forbidden[index] && !chosen.contains(&index))
                    .collect();
                chosen.extend(new);
            }
        }
    }
    chosen.into_iter().map(|index| TLS12[index].id).collect()
}

/// OpenSSL's name of a suite, and the bits of its key.
pub(super) fn describe(id: CipherSuite) -> (String, u32) {
    if let Some(suite) = TLS12.iter().find(|suite| suite.id == id) {
        return (suite.name.to_owned(), suite.bits);
    }
    match id {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => ("TLS_AES_128_GCM_SHA256".into(), 128),
        CipherSuite::TLS13_AES_256_GCM_SHA384 => ("TLS_AES_256_GCM_SHA384".into(), 256),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => ("TLS_CHACHA20_POLY1305_SHA256".into(), 256),
        other => (format!("{other:?}"), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        choose(list)
            .into_iter()
            .map(|id| TLS12.iter().find(|suite| suite.id == id).expect("a suite").name)
            .collect()
    }

    #[test]
    fn lists_choose_as_openssl_does() {
        let cases: &[(&str, &[&str])] = &[
            ("ECDHE-RSA-AES128-GCM-SHA256", &["ECDHE-RSA-AES128-GCM-SHA256"]),
            (
                "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
                &["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"],
            ),
            ("ECDHE+AESGCM+aRSA:!AES128", &["ECDHE-RSA-AES256-GCM-SHA384"]),
            (
                "CHACHA20 AES256 +ECDSA",
                &[
                    "ECDHE-RSA-CHACHA20-POLY1305",
                    "ECDHE-RSA-AES256-GCM-SHA384",
                    "ECDHE-ECDSA-CHACHA20-POLY1305",
                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                ],
            ),
            // What is struck out with ! does not come back, what is taken out with - may.
            ("!AESGCM:ALL:-aRSA", &["ECDHE-ECDSA-CHACHA20-POLY1305"]),
            (
                "CHACHA20:-CHACHA20:CHACHA20+aRSA:AESGCM+aRSA:!AES256",
                &["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"],
            ),
            (
                "AES128+aRSA:AES256+aRSA:@STRENGTH",
                &["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"],
            ),
            ("AES256-SHA:RC4", &[]),
            ("", &[]),
        ];
        for (list, expected) in cases {
            assert_eq!(names(list), *expected, "{list}");
        }
    }

    #[test]
    fn the_default_of_postgres_is_every_suite() {
        assert_eq!(choose("HIGH:MEDIUM:+3DES:!aNULL").len(), TLS12.len());
    }

    #[test]
    fn every_suite_of_the_provider_has_a_name() {
        for suite in rustls::crypto::ring::ALL_CIPHER_SUITES {
            let (name, bits) = describe(suite.suite());
            assert!(bits >= 128, "{name}");
        }
    }
}
