//! The data: `onek` and `tenk` of PostgreSQL's own regression tests.

use std::error::Error;
use std::io::{Read, Write};

use pglite_oxide::Pglite;

const COLUMNS: &str = "unique1 int4, unique2 int4, two int4, four int4, ten int4, twenty int4,
    hundred int4, thousand int4, twothousand int4, fivethous int4, tenthous int4, odd int4,
    even int4, stringu1 name, stringu2 name, string4 name";

const TABLES: [(&str, &[u8]); 2] = [
    ("onek", include_bytes!("../data/onek.data.zst")),
    ("tenk", include_bytes!("../data/tenk.data.zst")),
];

/// Makes and fills both tables; returns the rows copied.
pub(crate) fn load(db: &mut Pglite) -> Result<u64, Box<dyn Error>> {
    let mut rows = 0;
    for (name, packed) in TABLES {
        let mut text = Vec::new();
        ruzstd::decoding::StreamingDecoder::new(packed)?.read_to_end(&mut text)?;

        db.exec(&format!("CREATE TABLE {name} ({COLUMNS})"))?;
        let mut copy = db.copy_in(&format!("COPY {name} FROM STDIN"))?;
        copy.write_all(&text)?;
        rows += copy.finish()?;
        db.exec(&format!(
            "CREATE INDEX ON {name} (unique1); CREATE INDEX ON {name} (hundred); ANALYZE {name}"
        ))?;
    }
    Ok(rows)
}
