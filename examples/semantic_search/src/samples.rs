//! Texts to search when none are given, and questions to them.

use crate::corpus::Document;

/// The texts in `samples/`.
pub(crate) fn documents() -> Vec<Document> {
    [
        ("samples/bicycle.md", include_str!("../samples/bicycle.md")),
        ("samples/bread.md", include_str!("../samples/bread.md")),
        ("samples/compost.txt", include_str!("../samples/compost.txt")),
        ("samples/ring_buffer.rs", include_str!("../samples/ring_buffer.rs")),
        ("samples/tides.txt", include_str!("../samples/tides.txt")),
    ]
    .map(|(path, text)| Document { path: path.to_owned(), text: text.to_owned() })
    .into()
}

/// Questions, and which text has the answer.
pub(crate) const QUESTIONS: [(&str, &str); 4] = [
    // In the words of the text.
    ("how much water is in the dough", "samples/bread.md"),
    // With slips, by which full text search finds nothing.
    ("kichen scrapps and eggshels", "samples/compost.txt"),
    // Names in code: here full text search knows `RingBuffer` as one word, and not `ring` and `buffer`.
    ("which item does a ring buffer overwrite", "samples/ring_buffer.rs"),
    ("why does the chain jump", "samples/bicycle.md"),
];
