//! What the attribute makes of functions and options, as tokens. That it works is tested where there is a
//! library to work with: `tests/attribute`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::{Surroundings, expand};

fn surroundings() -> Surroundings {
    Surroundings { package: Some(env!("CARGO_MANIFEST_DIR").into()), tokio: true }
}

fn expanded(options: TokenStream, function: TokenStream) -> String {
    let tokens = expand(options, function, &surroundings()).expect("the test is valid");
    let file: syn::File = syn::parse2(tokens.clone()).expect("what comes out are items");
    assert_eq!(file.items.len(), 1);
    tokens.to_string()
}

/// Messages of an expansion that fails. (Where they point to is nothing that a test outside of the compiler can see.)
fn mistakes(options: &str, function: &str) -> Vec<String> {
    mistakes_in(&surroundings(), options, function)
}

fn mistakes_in(surroundings: &Surroundings, options: &str, function: &str) -> Vec<String> {
    let parse = |text: &str| -> TokenStream { text.parse().expect("these are tokens") };
    let error = expand(parse(options), parse(function), surroundings)
        .expect_err(&format!("({options}) {function}"));
    error.into_iter().map(|error| error.to_string()).collect()
}

const DATABASE: &str = "fn t(db: Pglite) {}";

#[test]
fn a_synchronous_test() {
    let text = expanded(
        quote!(),
        quote! {
            /// Says what.
            #[cfg(unix)]
            #[ignore]
            pub(crate) fn t(mut db: Pglite) -> Result<(), Error> { db.exec("SELECT 1")?; Ok(()) }
        },
    );
    let expected = quote! {
        /// Says what.
        #[cfg(unix)]
        #[ignore]
        #[::core::prelude::v1::test]
        pub(crate) fn t() -> Result<(), Error> {
            fn t(mut db: Pglite) -> Result<(), Error> { db.exec("SELECT 1")?; Ok(()) }

            let snapshot = match ::pglite_oxide::testing::Template::snapshot(
                &::pglite_oxide::testing::Template::new()
            ) {
                ::core::result::Result::Ok(snapshot) => snapshot,
                ::core::result::Result::Err(error) =>
                    ::pglite_oxide::testing::attribute::fail(error),
            };
            let (argument0, _guard0) = match
                ::pglite_oxide::testing::attribute::start::<Pglite>(&snapshot)
            {
                ::core::result::Result::Ok(started) => started,
                ::core::result::Result::Err(error) =>
                    ::pglite_oxide::testing::attribute::fail(error),
            };
            t(argument0)
        }
    };
    assert_eq!(text, expected.to_string());
}

#[test]
fn an_asynchronous_test() {
    let text = expanded(
        quote!(),
        quote!(
            async fn t(a: PgPool, b: String) {}
        ),
    );
    for part in [
        quote!(
            async fn t(a: PgPool, b: String) {}
        ),
        quote!(::pglite_oxide::testing::attribute::block_on),
        quote!(::pglite_oxide::testing::attribute::start_async::<PgPool>(&snapshot).await),
        quote!(::pglite_oxide::testing::attribute::start_async::<String>(&snapshot).await),
        quote!(t(argument0, argument1).await),
    ] {
        assert!(text.contains(&part.to_string()), "{part} is not in {text}");
    }
    assert!(text.contains("# [:: core :: prelude :: v1 :: test] fn t ()"), "{text}");
}

#[test]
fn options_are_a_template() {
    let text = expanded(
        quote!(
            migrations = "src",
            setup = crate::fixtures::people,
            extensions("a", "b"),
            crate = other::path,
        ),
        quote!(
            fn t(db: Pglite) {}
        ),
    );
    let expected = quote! {
        other::path::testing::Template::new()
            .extension("a")
            .extension("b")
            .migrations(other::path::testing::attribute::in_package(
                ::core::env!("CARGO_MANIFEST_DIR"),
                "src",
            ))
            .setup(crate::fixtures::people)
    };
    assert!(text.contains(&expected.to_string()), "{text}");
    assert!(!text.contains(":: pglite_oxide"), "{text}");
}

/// A test that is to panic must not pass because its template has failed.
#[test]
fn a_test_that_should_panic_returns_when_it_has_no_database() {
    let text = expanded(
        quote!(),
        quote!(
            #[should_panic(expected = "x")]
            fn t(db: Pglite) {}
        ),
    );
    assert!(text.contains("attribute :: report (error) ; return ;"), "{text}");
    assert!(!text.contains("attribute :: fail"), "{text}");
}

#[test]
fn wrong_options() {
    let cases = [
        ("migration = \"src\"", "there is no option `migration`; the options are"),
        ("\"src\"", "this is not the name of an option; the options are"),
        ("migrations", "this option is `migrations = \"directory\"`"),
        ("migrations =", "this option is `migrations = \"directory\"`"),
        ("migrations = 5", "this option is `migrations = \"directory\"`"),
        ("migrations = \"\"", "the text is empty"),
        ("migrations(\"src\")", "this option is `migrations = \"directory\"`"),
        ("setup = \"f\"", "this option is `setup = path::to::function`"),
        ("setup = f()", "this option is `setup = path::to::function`"),
        ("setup(f)", "this option is `setup = path::to::function`"),
        ("extensions = \"a\"", "this option is `extensions(\"name\", ...)`"),
        ("extensions()", "this option is `extensions(\"name\", ...)`"),
        ("extensions(a)", "this option is `extensions(\"name\", ...)`"),
        ("setup = f, setup = g", "`setup` is given twice"),
        ("setup = f migrations = \"src\"", "expected `,`"),
    ];
    for (options, message) in cases {
        let found = mistakes(options, DATABASE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(message), "({options}): {found:?}");
    }
}

#[test]
fn wrong_directories() {
    let found = mistakes("migrations = \"src/nowhere\"", DATABASE);
    assert!(found[0].starts_with("the directory of migrations does not exist: "), "{found:?}");
    assert!(found[0].contains("src/nowhere (paths are relative to"), "{found:?}");
    let found = mistakes("migrations = \"Cargo.toml\"", DATABASE);
    assert!(found[0].starts_with("the directory of migrations is not a directory"), "{found:?}");
}

#[test]
fn wrong_functions() {
    let cases = [
        ("fn t() {}", "this test has no parameter for its database"),
        ("fn t(db: &mut Pglite) {}", "a test gets its parameters by value"),
        ("fn t(db: impl Any) {}", "the type of a test's parameter has to be named"),
        ("fn t(db: _) {}", "the type of a test's parameter has to be named"),
        ("fn t(&self) {}", "a test is no method"),
        ("fn t<T>(db: T) {}", "a test cannot be generic"),
        ("const fn t(db: Pglite) {}", "a test cannot be `const`"),
        ("unsafe fn t(db: Pglite) {}", "a test cannot be `unsafe`"),
        ("extern \"C\" fn t(db: Pglite) {}", "a test has no ABI"),
        ("#[test] fn t(db: Pglite) {}", "`#[pglite_oxide::test]` makes a test by"),
        ("#[tokio::test] async fn t(db: Pglite) {}", "`#[pglite_oxide::test]`"),
        ("struct T;", "`#[pglite_oxide::test]` is for functions: "),
    ];
    for (function, message) in cases {
        let found = mistakes("", function);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(message), "{function}: {found:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let found = mistakes("migrations = \"nowhere\"", "#[test] fn t() {}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn without_the_feature_there_is_nothing_to_run_asynchronous_tests() {
    let surroundings = Surroundings { package: None, tokio: false };
    let found = mistakes_in(&surroundings, "", "async fn t(db: Pglite) {}");
    assert!(found[0].contains("the feature `tokio` of pglite-oxide"), "{found:?}");
}
