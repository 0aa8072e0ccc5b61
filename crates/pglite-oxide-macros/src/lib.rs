//! The attribute `#[pglite_oxide::test]`. Use it through `pglite-oxide`, which documents it.

mod expand;
mod options;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

use self::expand::{Surroundings, expand};

/// See `pglite_oxide::test`.
#[proc_macro_attribute]
pub fn test(options: TokenStream, function: TokenStream) -> TokenStream {
    let surroundings = Surroundings {
        package: std::env::var_os("CARGO_MANIFEST_DIR").map(Into::into),
        tokio: cfg!(feature = "tokio"),
    };
    expand(options.into(), function.into(), &surroundings)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
