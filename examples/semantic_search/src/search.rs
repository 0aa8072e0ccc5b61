//! Hybrid search: full text and vectors, in one statement.

use std::fmt;

use pglite_oxide::Error;

use crate::embedding::{self, Embedding, Features};
use crate::store::Index;

/// How many chunks each of the two searches proposes. Not more than `hnsw.ef_search` has by default, which is how many
/// an index of this kind finds.
const CANDIDATES: i64 = 40;

/// The distance from which on chance alone can be why a chunk is near: a cosine of three times what unrelated texts
/// have, see [`embedding::DIMENSIONS`].
const FAR: f64 = 0.9;

/// What is looked for: a text with one word at least.
#[derive(Debug)]
pub(crate) struct Question {
    text: String,
    features: Features,
}

/// A question is empty, or of signs only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoWords;

impl fmt::Display for NoWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the question has no words in it")
    }
}

impl std::error::Error for NoWords {}

impl Question {
    /// Takes a question in words.
    pub(crate) fn new(text: &str) -> Result<Question, NoWords> {
        let features = embedding::features(text);
        // No text of PostgreSQL has a NUL, and none of them is a word.
        let text = text.replace('\0', " ");
        if features.is_empty() { Err(NoWords) } else { Ok(Question { text, features }) }
    }

    /// Its words, as they were given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A chunk that answers.
#[derive(Debug)]
pub(crate) struct Hit {
    /// The document's path.
    pub(crate) path: String,
    /// Where in it the chunk is.
    pub(crate) first_line: i32,
    /// The last line of it.
    pub(crate) last_line: i32,
    /// The part with most of the words, which are marked.
    pub(crate) snippet: String,
    /// The sum of both searches.
    pub(crate) score: f64,
    /// Its place in full text search, if that found it.
    pub(crate) text_rank: Option<i64>,
    /// PostgreSQL's `ts_rank`; zero if it has none of the words.
    pub(crate) text_score: f32,
    /// Its place among the nearest vectors, if it is one.
    pub(crate) vector_rank: Option<i64>,
    /// The cosine distance: 0 of equals, 1 of what has nothing in common.
    pub(crate) distance: f64,
}

/// The best answers first.
pub(crate) fn search(
    index: &mut Index,
    question: &Question,
    limit: i64,
) -> Result<Vec<Hit>, Error> {
    let frequencies = index.document_frequencies(&question.features)?;
    let embedding = Embedding::of_question(&question.features, &frequencies).to_string();
    let rows = index.session().query(
        include_str!("search.sql"),
        &[&question.text, &embedding, &CANDIDATES, &limit, &FAR],
    )?;
    let hit = |row: &pglite_oxide::Row| Hit {
        path: row.get("path"),
        first_line: row.get("first_line"),
        last_line: row.get("last_line"),
        snippet: row.get("snippet"),
        score: row.get("score"),
        text_rank: row.get("text_rank"),
        text_score: row.get("text_score"),
        vector_rank: row.get("vector_rank"),
        distance: row.get("distance"),
    };
    Ok(rows.iter().map(hit).collect())
}

#[cfg(test)]
mod tests {
    use pglite_oxide::Pglite;

    use super::*;
    use crate::corpus::Document;
    use crate::samples;
    use crate::store::Changes;

    fn documents(texts: &[(&str, &str)]) -> Vec<Document> {
        let document =
            |&(path, text): &(&str, &str)| Document { path: path.into(), text: text.into() };
        texts.iter().map(document).collect()
    }

    fn ask(index: &mut Index, question: &str) -> Vec<Hit> {
        search(index, &Question::new(question).unwrap(), 10).unwrap()
    }

    fn paths(hits: &[Hit]) -> Vec<&str> {
        hits.iter().map(|hit| &*hit.path).collect()
    }

    #[test]
    fn questions_have_words() {
        for text in ["", "  ", "?! --", "\0"] {
            assert_eq!(Question::new(text).unwrap_err(), NoWords, "{text:?}");
        }
        assert_eq!(Question::new("a\0b").unwrap().text(), "a b");
    }

    #[pglite_oxide::test(extensions("vector"))]
    fn samples_answer_their_questions(db: Pglite) {
        let mut index = Index::new(db).unwrap();
        let changes = index.update(&samples::documents()).unwrap();
        assert_eq!(changes, Changes { added: 5, ..Changes::default() });
        for (question, expected) in samples::QUESTIONS {
            assert_eq!(ask(&mut index, question)[0].path, expected, "{question}");
        }
    }

    #[pglite_oxide::test(extensions("vector"))]
    fn either_search_alone_is_enough(db: Pglite) {
        let mut index = Index::new(db).unwrap();
        let prose = "It was late, and the lamps along the river had been lit. ".repeat(10);
        let animals = format!("{prose} A zebu came by.");
        index
            .update(&documents(&[
                ("animals", &animals),
                ("trains", "Locomotives\n\nrun on rails."),
            ]))
            .unwrap();
        for (question, path, by_text, by_vector) in [
            ("locomotives", "trains", true, true),
            // No word of the text, and most of its n-grams.
            ("lokomotive", "trains", false, true),
            // One short word in many.
            ("zebu bcdfg hjklm npqrs", "animals", true, false),
        ] {
            let hits = ask(&mut index, question);
            assert_eq!(paths(&hits), [path], "{question}");
            let found = (hits[0].text_rank.is_some(), hits[0].vector_rank.is_some());
            assert_eq!(found, (by_text, by_vector), "{question}: {hits:?}");
        }
    }

    #[pglite_oxide::test(extensions("vector"))]
    fn hits_say_where_and_why(db: Pglite) {
        let mut index = Index::new(db).unwrap();
        let code = "\nfn widths() -> Vec<Width> {\n    todo(“width”)\n}\n";
        index.update(&documents(&[("code.rs", code)])).unwrap();
        let hits = ask(&mut index, "<width>");
        let [hit] = &hits[..] else { panic!("{hits:?}") };
        assert_eq!((hit.first_line, hit.last_line), (2, 4));
        assert_eq!(hit.snippet, "«widths»() -> Vec<«Width»> {\n    todo(“«width»");
        assert_eq!((hit.text_rank, hit.vector_rank), (Some(1), Some(1)));
        assert_eq!(hit.score, 2.0 / 61.0);
        assert!(hit.text_score > 0.0 && hit.distance < FAR, "{hit:?}");
    }

    #[pglite_oxide::test(extensions("vector"))]
    fn questions_need_not_be_answered(db: Pglite) {
        let mut index = Index::new(db).unwrap();
        index.update(&documents(&[("trains", "Locomotives run on rails.")])).unwrap();
        assert_eq!(paths(&ask(&mut index, "xylophone quiz")), [""; 0]);
        // Stop words: full text search has nothing to look for.
        let hits = ask(&mut index, "on");
        assert!(hits.iter().all(|hit| hit.text_rank.is_none()), "{hits:?}");
    }

    #[pglite_oxide::test(extensions("vector"))]
    fn limits_are_kept(db: Pglite) {
        let mut index = Index::new(db).unwrap();
        let texts = [("a", "green tea"), ("b", "black tea"), ("c", "white tea")];
        index.update(&documents(&texts)).unwrap();
        let question = Question::new("black tea").unwrap();
        let hits = search(&mut index, &question, 2).unwrap();
        assert_eq!(hits.len(), 2);
        assert_eq!(hits[0].path, "b");
    }

    #[pglite_oxide::test(extensions("vector"))]
    fn updates_touch_what_has_changed(first: Pglite, second: Pglite) {
        let before = [("kept", "An apple."), ("edited", "A pear."), ("deleted", "A plum.")];
        let after = [("kept", "An apple."), ("edited", "A cherry."), ("new", "A quince.")];

        let mut updated = Index::new(first).unwrap();
        updated.update(&documents(&before)).unwrap();
        let changes = updated.update(&documents(&after)).unwrap();
        assert_eq!(changes, Changes { added: 1, changed: 1, removed: 1, unchanged: 1 });
        for (question, expected) in [
            ("apple", &["kept"][..]),
            ("pear", &[]),
            ("plum", &[]),
            ("cherry", &["edited"]),
            ("quince", &["new"]),
        ] {
            assert_eq!(paths(&ask(&mut updated, question)), expected, "{question}");
        }

        // It is what an index that has never seen anything else is.
        let mut fresh = Index::new(second).unwrap();
        fresh.update(&documents(&after)).unwrap();
        let contents = "SELECT path, hash, first_line, content, words::text, embedding::text
                        FROM document JOIN chunk ON document = document.id ORDER BY path;
                        SELECT * FROM document_frequency ORDER BY feature";
        let [updated, fresh] =
            [updated, fresh].map(|mut index| format!("{:?}", index.session().exec(contents)));
        assert_eq!(updated, fresh);
    }

    #[test]
    fn an_index_in_a_directory_stays() {
        let directory = tempfile::tempdir().unwrap();
        let texts = documents(&[("a", "An apple."), ("b", "A pear.")]);
        for expected in [
            Changes { added: 2, ..Changes::default() },
            Changes { unchanged: 2, ..Changes::default() },
        ] {
            let mut index = Index::new(Pglite::open(directory.path()).unwrap()).unwrap();
            assert_eq!(index.update(&texts).unwrap(), expected);
            assert_eq!(paths(&ask(&mut index, "pears")), ["b"]);
            index.close().unwrap();
        }
    }

    /// In a small table reading all of it is cheaper; what matters is that the statement can use them.
    #[pglite_oxide::test(extensions("vector"))]
    fn both_searches_can_use_their_index(db: Pglite) {
        let mut index = Index::new(db).unwrap();
        index.update(&samples::documents()).unwrap();
        let question = Question::new("the chain").unwrap();
        let embedding = Embedding::of_chunk(&question.features).to_string();
        index.session().exec("SET enable_seqscan = off").unwrap();
        let plan = index
            .session()
            .query(
                &format!("EXPLAIN {}", include_str!("search.sql")),
                &[&question.text, &embedding, &CANDIDATES, &10_i64, &FAR],
            )
            .unwrap();
        let plan: Vec<&str> = plan.iter().map(|row| row.get(0)).collect();
        for scan in ["Index Scan using chunk_embedding", "Bitmap Index Scan on chunk_words"] {
            assert!(plan.iter().any(|line| line.contains(scan)), "{scan}: {plan:#?}");
        }
    }
}
