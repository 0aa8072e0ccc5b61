//! The index: an embedded PostgreSQL with documents, their chunks, and how frequent each n-gram is.

use std::collections::{HashMap, HashSet};

use pglite_oxide::{Error, Pglite, Session, Transaction};

use crate::chunking::{self, Chunk};
use crate::corpus::Document;
use crate::embedding::{self, DocumentFrequencies, Embedding, Feature, Features};

/// A database with the tables of this program.
pub(crate) struct Index {
    db: Pglite,
}

/// What an update has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Documents that were not there.
    pub(crate) added: usize,
    /// Documents with another content than before.
    pub(crate) changed: usize,
    /// Documents that are there no more.
    pub(crate) removed: usize,
    /// Documents that are as they were.
    pub(crate) unchanged: usize,
}

impl Index {
    /// Makes the tables, if the database does not have them.
    pub(crate) fn new(mut db: Pglite) -> Result<Index, Error> {
        db.exec(include_str!("schema.sql"))?;
        // The second run gets a notice for each thing that is there already.
        db.take_notices();
        Ok(Index { db })
    }

    /// For what is only read.
    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.db
    }

    /// Makes the index one of these documents and no others. Those that have not changed are left alone. After an
    /// error everything is as before.
    pub(crate) fn update(&mut self, documents: &[Document]) -> Result<Changes, Error> {
        let mut transaction = self.db.transaction()?;
        let mut stored = HashMap::new();
        for row in transaction.query("SELECT path, hash FROM document", &[])? {
            stored.insert(row.get::<_, String>("path"), row.get::<_, String>("hash"));
        }
        let Comparison { changes, outdated, new } = compare(&stored, documents);
        if outdated.is_empty() && new.is_empty() {
            return Ok(changes);
        }
        let mut frequencies = FrequencyChanges::default();
        remove(&mut transaction, &outdated, &mut frequencies)?;
        for (document, hash) in new {
            add(&mut transaction, document, &hash, &mut frequencies)?;
        }
        frequencies.apply(&mut transaction)?;
        // Only now, as building an index is faster than to put the chunks of the first run into it one by one. Later
        // runs find it.
        transaction.exec(
            "SET LOCAL client_min_messages = warning;
             CREATE INDEX IF NOT EXISTS chunk_embedding ON chunk USING hnsw (embedding vector_cosine_ops);
             ANALYZE chunk",
        )?;
        transaction.commit()?;
        Ok(changes)
    }

    /// The number of chunks.
    pub(crate) fn chunks(&mut self) -> Result<i64, Error> {
        Ok(self.db.query_one("SELECT count(*) FROM chunk", &[])?.get(0))
    }

    /// How frequent these features are in the corpus.
    pub(crate) fn document_frequencies(
        &mut self,
        features: &Features,
    ) -> Result<DocumentFrequencies, Error> {
        let wanted: Vec<Feature> = features.keys().copied().collect();
        let rows = self.db.query(
            "SELECT feature, chunks::int8 FROM document_frequency WHERE feature = ANY($1)",
            &[&wanted],
        )?;
        let of = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(DocumentFrequencies { chunks: self.chunks()?, of })
    }

    /// Ends the database; in a directory, with everything written.
    pub(crate) fn close(self) -> Result<(), Error> {
        self.db.close()
    }
}

/// What is to be done to make what is stored what is given.
struct Comparison<'a> {
    changes: Changes,
    /// Paths of documents to remove, among them all that have changed.
    outdated: Vec<&'a str>,
    /// Documents to add, with their hashes.
    new: Vec<(&'a Document, String)>,
}

/// Compares documents with the paths and hashes of those that are stored.
fn compare<'a>(stored: &'a HashMap<String, String>, documents: &'a [Document]) -> Comparison<'a> {
    let mut changes = Changes::default();
    let given: HashSet<&str> = documents.iter().map(|document| &*document.path).collect();
    let mut outdated: Vec<&str> =
        stored.keys().map(String::as_str).filter(|&path| !given.contains(path)).collect();
    changes.removed = outdated.len();
    let mut new = Vec::new();
    for document in documents {
        let hash = blake3::hash(document.text.as_bytes()).to_string();
        match stored.get(&document.path) {
            Some(before) if *before == hash => {
                changes.unchanged += 1;
                continue;
            }
            Some(_) => {
                changes.changed += 1;
                outdated.push(&document.path);
            }
            None => changes.added += 1,
        }
        new.push((document, hash));
    }
    Comparison { changes, outdated, new }
}

/// By how many chunks each feature has become more or less frequent.
#[derive(Default)]
struct FrequencyChanges(HashMap<Feature, i32>);

impl FrequencyChanges {
    fn count(&mut self, features: &Features, chunks: i32) {
        for &feature in features.keys() {
            *self.0.entry(feature).or_default() += chunks;
        }
    }

    fn apply(self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        let (features, by): (Vec<Feature>, Vec<i32>) =
            self.0.into_iter().filter(|&(_, by)| by != 0).unzip();
        if features.is_empty() {
            return Ok(());
        }
        transaction.execute(
            "INSERT INTO document_frequency AS before
             SELECT * FROM unnest($1::int[], $2::int[])
             ON CONFLICT (feature) DO UPDATE SET chunks = before.chunks + excluded.chunks",
            &[&features, &by],
        )?;
        transaction.execute("DELETE FROM document_frequency WHERE chunks = 0", &[])?;
        Ok(())
    }
}

/// Removes documents, and their part in the frequencies: from the stored chunks, as their files have changed.
fn remove(
    transaction: &mut Transaction<'_>,
    paths: &[&str],
    frequencies: &mut FrequencyChanges,
) -> Result<(), Error> {
    let of_path =
        "SELECT content FROM chunk JOIN document ON document.id = document WHERE path = ANY($1)";
    for row in transaction.query(of_path, &[&paths])? {
        frequencies.count(&embedding::features(row.get("content")), -1);
    }
    transaction.execute("DELETE FROM document WHERE path = ANY($1)", &[&paths])?;
    Ok(())
}

/// Adds a document with all its chunks. The session prepares each statement once, at its first use.
fn add(
    transaction: &mut Transaction<'_>,
    document: &Document,
    hash: &str,
    frequencies: &mut FrequencyChanges,
) -> Result<(), Error> {
    let id: i32 = transaction
        .query_one(
            "INSERT INTO document (path, hash) VALUES ($1, $2) RETURNING id",
            &[&document.path, &hash],
        )?
        .get("id");
    let (mut first_lines, mut last_lines) = (Vec::new(), Vec::new());
    let (mut contents, mut embeddings) = (Vec::new(), Vec::new());
    for chunk in chunking::chunks(&document.text, chunking::LIMITS) {
        let Chunk { first_line, last_line, text } = chunk;
        let features = embedding::features(text);
        frequencies.count(&features, 1);
        first_lines.push(first_line as i32);
        last_lines.push(last_line as i32);
        contents.push(text);
        embeddings.push(Embedding::of_chunk(&features).to_string());
    }
    transaction.execute(
        "INSERT INTO chunk (document, first_line, last_line, content, embedding)
         SELECT $1, first_line, last_line, content, embedding::vector
         FROM unnest($2::int[], $3::int[], $4::text[], $5::text[])
              AS new (first_line, last_line, content, embedding)",
        &[&id, &first_lines, &last_lines, &contents, &embeddings],
    )?;
    Ok(())
}
