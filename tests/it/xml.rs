//! The type `xml`, which is libxml2 in the server.

use crate::{sqlstate, temporary, text};

#[test]
fn documents_are_parsed_queried_and_built() {
    let mut db = temporary();
    db.exec(
        "CREATE TABLE page (id int, doc xml);
         INSERT INTO page VALUES (1, '<page lang=\"de\"><title>Grüße</title><n>2</n><n>3</n></page>')",
    )
    .unwrap();
    assert_eq!(text(&mut db, "SELECT (xpath('/page/title/text()', doc))[1] FROM page"), "Grüße");
    assert_eq!(text(&mut db, "SELECT (xpath('sum(//n)', doc))[1] FROM page"), "5");
    let sql = "SELECT string_agg(n::text, ',') FROM page, XMLTABLE('//n' PASSING doc COLUMNS n int PATH '.')";
    assert_eq!(text(&mut db, sql), "2,3");
    let sql = "SELECT xmlelement(name a, xmlattributes('1 < 2' AS x), xmlforest('&' AS b))";
    assert_eq!(text(&mut db, sql), "<a x=\"1 &lt; 2\"><b>&amp;</b></a>");
    let sql = "SELECT xmlserialize(DOCUMENT '<a><b/></a>' AS text INDENT)";
    assert_eq!(text(&mut db, sql), "<a>\n  <b/>\n</a>");
    assert_eq!(
        text(&mut db, "SELECT xmlexists('//title[. = \"Grüße\"]' PASSING doc) FROM page"),
        "t"
    );
}

/// libxml2 reports an error from below its own functions, and PostgreSQL leaves them by longjmp.
#[test]
fn errors_are_postgresqls_and_memory_is_given_back() {
    let mut db = temporary();
    for _ in 0..200 {
        let error = db.exec("SELECT '<a><b></a>'::xml").unwrap_err();
        assert_eq!(sqlstate(&error), "2200N");
    }
    let detail = format!("{:?}", db.exec("SELECT xmlparse(DOCUMENT '<a>&x;</a>')").unwrap_err());
    assert!(detail.contains("Entity 'x' not defined"), "{detail}");
    // PostgreSQL 17 calls it an internal error.
    assert_eq!(sqlstate(&db.exec("SELECT xpath('//[', '<a/>')").unwrap_err()), "XX000");
    assert_eq!(text(&mut db, "SELECT '<a/>'::xml IS DOCUMENT"), "t");
}

/// No entity is read from a file, and none grows without bounds.
#[test]
fn entities_do_not_reach_out() {
    let mut db = temporary();
    let sql = "SELECT xmlparse(DOCUMENT '<!DOCTYPE a [<!ENTITY f SYSTEM \"file:///pgdata/PG_VERSION\">]><a>&f;</a>')";
    assert!(!text(&mut db, &format!("SELECT (xpath('/a/text()', ({sql})))::text")).contains("17"));
    let mut laughs = String::from("<!ENTITY l0 \"ha\">");
    for level in 1..12 {
        let below = format!("&l{};", level - 1).repeat(10);
        laughs += &format!("<!ENTITY l{level} \"{below}\">");
    }
    let sql = format!("SELECT xpath('/a', '<!DOCTYPE a [{laughs}]><a>&l11;</a>'::xml)");
    assert!(db.exec(&sql).is_err());
    assert_eq!(text(&mut db, "SELECT 1"), "1");
}
