//! `numeric` as `rust_decimal::Decimal`, with its feature `db-postgres`.

use rust_decimal::Decimal;

#[test]
fn decimals_are_exact() {
    let mut db = crate::temporary();
    for text in
        ["0", "0.10", "-1", "79228162514264337593543950335", "0.0000000000000000000000000001"]
    {
        let value: Decimal = text.parse().expect("a decimal");
        let row = db.query_one("SELECT $1::numeric, $1::numeric::text", &[&value]).expect("a row");
        assert_eq!(row.get::<_, Decimal>(0), value);
        assert_eq!(row.get::<_, &str>(1), text);
    }
    let row = db.query_one("SELECT 'NaN'::numeric, NULL::numeric", &[]).expect("a row");
    assert!(row.try_get::<_, Decimal>(0).is_err());
    assert_eq!(row.get::<_, Option<Decimal>>(1), None);
}
