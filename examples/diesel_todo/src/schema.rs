//! The tables as Diesel sees them; `diesel print-schema` writes such a file.

diesel::table! {
    task (id) {
        id -> Integer,
        title -> Text,
        owner -> Nullable<Text>,
    }
}
