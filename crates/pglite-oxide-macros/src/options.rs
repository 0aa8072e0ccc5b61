//! What is in the parentheses of the attribute.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, LitStr, Path, Token, parenthesized};

/// The options as they are written.
#[derive(Default)]
pub(crate) struct Options {
    /// A directory, relative to the package.
    pub(crate) migrations: Option<LitStr>,
    /// A function that puts data into the template.
    pub(crate) setup: Option<Path>,
    pub(crate) extensions: Vec<LitStr>,
    /// Where pglite-oxide is, if not at `::pglite_oxide`.
    pub(crate) library: Option<Path>,
}

const KNOWN: &str = "the options are `migrations = \"directory\"`, `setup = function`, \
                     `extensions(\"name\", ...)` and `crate = path`";

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Options> {
        let mut options = Options::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            if !input.peek(Ident::peek_any) {
                return Err(input.error(format!("this is not the name of an option; {KNOWN}")));
            }
            let name = input.call(Ident::parse_any)?;
            if seen.contains(&name) {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            options.read(&name, input)?;
            seen.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn read(&mut self, name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let shape = |shape: &str| Error::new(name.span(), format!("this option is `{shape}`"));
        match name.to_string().as_str() {
            "migrations" => {
                let expected = "migrations = \"directory\"";
                let value = value(input, || shape(expected))?;
                self.migrations = Some(string(&value, expected)?);
            }
            "setup" => {
                let expected = "setup = path::to::function";
                let value = value(input, || shape(expected))?;
                self.setup = Some(path(value, expected)?);
            }
            "crate" => {
                let expected = "crate = path::to::pglite_oxide";
                let value = value(input, || shape(expected))?;
                self.library = Some(path(value, expected)?);
            }
            "extensions" => {
                let expected = "extensions(\"name\", ...)";
                if !input.peek(syn::token::Paren) {
                    return Err(shape(expected));
                }
                let list;
                parenthesized!(list in input);
                let names = list.parse_terminated(Expr::parse, Token![,])?;
                if names.is_empty() {
                    return Err(shape(expected));
                }
                for name in &names {
                    self.extensions.push(string(name, expected)?);
                }
            }
            _ => {
                let message = format!("there is no option `{name}`; {KNOWN}");
                return Err(Error::new(name.span(), message));
            }
        }
        Ok(())
    }
}

/// What comes after the equals sign.
fn value(input: ParseStream<'_>, missing: impl Fn() -> Error) -> syn::Result<Expr> {
    input.parse::<Token![=]>().map_err(|_| missing())?;
    if input.is_empty() {
        return Err(missing());
    }
    input.parse()
}

fn string(value: &Expr, expected: &str) -> syn::Result<LitStr> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            syn::Lit::Str(text) if !text.value().is_empty() => Ok(text.clone()),
            syn::Lit::Str(text) => Err(Error::new(text.span(), "the text is empty")),
            other => Err(not(other, expected)),
        },
        other => Err(not(other, expected)),
    }
}

fn path(value: Expr, expected: &str) -> syn::Result<Path> {
    match value {
        Expr::Path(value) if value.qself.is_none() => Ok(value.path),
        other => Err(not(&other, expected)),
    }
}

fn not(found: &impl quote::ToTokens, expected: &str) -> Error {
    Error::new_spanned(found, format!("this option is `{expected}`"))
}
