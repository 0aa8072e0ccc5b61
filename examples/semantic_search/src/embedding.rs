//! Vectors of texts, made from the texts' own letters: no model and no download.
//!
//! These embeddings are lexical, not neural. Two texts are near each other if they have many pieces of words in
//! common, so `indexes`, `indexing` and the slip `indxeing` are neighbours; `car` and `automobile` are not.
//!
//! A text is split into words, and these into character n-grams. Each n-gram is a feature, weighted as SMART's
//! `lnc.ltc` has it: logarithmic term frequencies in chunks, logarithmic term frequencies times inverse document
//! frequencies in questions. As the rest of the corpus has no part in the vector of a chunk, that stays true when
//! other files come and go. At last the features are reduced to [`DIMENSIONS`] by a random projection.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;

/// How many numbers a vector has. Unrelated texts get cosines of about one over its root, 0.03, for no reason but
/// chance: fewer dimensions would drown weak matches. pgvector's indexes take 2000 at most.
pub(crate) const DIMENSIONS: usize = 1024;

/// Lengths of the n-grams, in characters, with the marks of a word's ends.
const GRAM_LENGTHS: RangeInclusive<usize> = 3..=5;

/// An n-gram, by its hash.
pub(crate) type Feature = i32;

/// How often each n-gram is in a text. Ordered, so that sums of floating point numbers come out the same each time.
pub(crate) type Features = BTreeMap<Feature, u32>;

/// Counts the n-grams of a text.
pub(crate) fn features(text: &str) -> Features {
    let mut features = Features::new();
    for word in words(text) {
        for gram in grams(&word) {
            *features.entry(hash(&gram)).or_default() += 1;
        }
    }
    features
}

/// The words of a text in lower case. `snake_case` and `camelCase` are two words each, as in code the parts of names
/// are what is asked for.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut after_lower_case = false;
    for c in text.chars() {
        let ends = !c.is_alphanumeric() || (after_lower_case && c.is_uppercase());
        if ends && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        after_lower_case = c.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The n-grams of a word. Its ends are marked, so that beginnings, endings and whole short words are features of their
/// own.
fn grams(word: &str) -> Vec<String> {
    let marked: Vec<char> = format!("<{word}>").chars().collect();
    GRAM_LENGTHS
        .flat_map(|length| marked.windows(length))
        .map(|gram| gram.iter().collect())
        .collect()
}

/// FNV-1a, as stored vectors need a hash that is the same in each version of Rust. The upper bits are the better ones.
fn hash(gram: &str) -> Feature {
    let hash = gram.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 32) as u32 as Feature
}

/// In how many chunks of the corpus each feature is.
#[derive(Debug, Default)]
pub(crate) struct DocumentFrequencies {
    /// The number of chunks in the corpus.
    pub(crate) chunks: i64,
    /// Those of the features that are in any.
    pub(crate) of: HashMap<Feature, i64>,
}

impl DocumentFrequencies {
    /// The inverse document frequency: what is everywhere tells little. Never zero, so that a question of everyday
    /// words still has a direction.
    fn idf(&self, feature: Feature) -> f32 {
        let of_feature = self.of.get(&feature).copied().unwrap_or(0);
        (1.0 + self.chunks as f32 / (1 + of_feature) as f32).ln()
    }
}

/// A vector of length one, or of zeros if the text has no words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Embedding(Vec<f32>);

impl Embedding {
    /// The vector of a chunk.
    pub(crate) fn of_chunk(features: &Features) -> Embedding {
        Embedding::project(features, |_| 1.0)
    }

    /// The vector of a question.
    pub(crate) fn of_question(features: &Features, frequencies: &DocumentFrequencies) -> Embedding {
        Embedding::project(features, |feature| frequencies.idf(feature))
    }

    fn project(features: &Features, weight: impl Fn(Feature) -> f32) -> Embedding {
        let mut vector = vec![0.0; DIMENSIONS];
        for (&feature, &count) in features {
            // Sub-linear: the tenth occurrence tells less than the first.
            let weight = weight(feature) * (1.0 + (count as f32).ln());
            for (dimension, sign) in coordinates(feature) {
                vector[dimension] += sign * weight;
            }
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|x| *x /= length);
        }
        Embedding(vector)
    }
}

/// A feature's own direction: plus or minus one in four dimensions, as in random indexing. Directions of any two
/// features are about orthogonal, so cosines come out of the projection about as they went in.
fn coordinates(feature: Feature) -> [(usize, f32); 4] {
    // SplitMix64: each of the 64 bits depends on all of the feature.
    let mut bits = u64::from(feature as u32).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    [0, 16, 32, 48].map(|shift| {
        let lane = (bits >> shift) as u16;
        (usize::from(lane) % DIMENSIONS, if lane >> 15 == 0 { 1.0 } else { -1.0 })
    })
}

/// As PostgreSQL's type `vector` reads it.
impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, x) in self.0.iter().enumerate() {
            write!(f, "{}{x}", if index == 0 { '[' } else { ',' })?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_into_words() {
        for (text, expected) in [
            ("The cat, the dog.", &["the", "cat", "the", "dog"][..]),
            ("wait_notification", &["wait", "notification"]),
            ("PgliteServer::connectRaw", &["pglite", "server", "connect", "raw"]),
            ("HNSW in 2018", &["hnsw", "in", "2018"]),
            ("Äpfel größer", &["äpfel", "größer"]),
            (" -- !? ", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_split_into_n_grams() {
        for (word, expected) in [
            ("a", &["<a>"][..]),
            ("cat", &["<ca", "cat", "at>", "<cat", "cat>", "<cat>"]),
            ("öl", &["<öl", "öl>", "<öl>"]),
        ] {
            assert_eq!(grams(word), expected, "{word}");
        }
    }

    #[test]
    fn features_are_counted() {
        let counted = features("cat catalogue");
        assert_eq!(counted[&hash("<cat")], 2);
        assert_eq!(counted[&hash("cat>")], 1);
        assert_eq!(counted.get(&hash("dog>")), None);
    }

    /// What is in a database was made with these: a change of the hash would make it worthless.
    #[test]
    fn hashes_stay_as_they_are() {
        for (gram, expected) in [("<ca", 1_879_751_960), ("cat", -169_670_887)] {
            assert_eq!(hash(gram), expected, "{gram}");
        }
    }

    fn similarity(a: &str, b: &str) -> f32 {
        let [a, b] = [a, b].map(|text| Embedding::of_chunk(&features(text)));
        a.0.iter().zip(&b.0).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn texts_with_common_pieces_of_words_are_near() {
        for (text, near, far) in [
            ("index", "indexing", "kitchen"),
            ("recieve a mesage", "receive a message", "deceive a passenger"),
            ("database connection", "connecting to databases", "a walk to the bakery"),
            ("wait_notification", "WaitNotification", "way station"),
        ] {
            let (of_near, of_far) = (similarity(text, near), similarity(text, far));
            assert!(of_near > 0.25, "{text}, {near}: {of_near}");
            assert!(of_near > of_far + 0.15, "{text}, {near}: {of_near}; {far}: {of_far}");
        }
    }

    #[test]
    fn vectors_are_lexical_only() {
        for (text, same_meaning) in [("car", "automobile"), ("begin", "start"), ("big", "large")] {
            assert!(similarity(text, same_meaning).abs() < 0.15, "{text}, {same_meaning}");
        }
    }

    #[test]
    fn vectors_have_length_one() {
        for text in ["a", "cat", "The cat sat on the mat, and the cat sat on the hat."] {
            assert!((similarity(text, text) - 1.0).abs() < 1e-5, "{text}");
        }
        assert_eq!(Embedding::of_chunk(&features("--")), Embedding(vec![0.0; DIMENSIONS]));
    }

    #[test]
    fn rare_features_weigh_more_in_questions() {
        let of = HashMap::from([(1, 99), (2, 9)]);
        let frequencies = DocumentFrequencies { chunks: 100, of };
        let idfs = [1, 2, 3].map(|feature| frequencies.idf(feature));
        assert_eq!(idfs, [2.0_f32.ln(), 11.0_f32.ln(), 101.0_f32.ln()]);
    }

    #[test]
    fn vectors_are_written_as_postgresql_reads_them() {
        for (vector, expected) in [
            (vec![1.0], "[1]"),
            (vec![0.5, -0.25, 0.0], "[0.5,-0.25,0]"),
            (vec![1e-7, 0.1], "[0.0000001,0.1]"),
        ] {
            assert_eq!(Embedding(vector).to_string(), expected);
        }
    }
}
