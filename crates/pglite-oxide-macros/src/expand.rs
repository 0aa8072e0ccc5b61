//! From a function with parameters to a test without.

use std::path::PathBuf;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, ItemFn, LitStr, Path, Signature, Type};

use crate::options::Options;

/// What the attribute knows besides its tokens.
pub(crate) struct Surroundings {
    /// The directory of the package that is compiled.
    pub(crate) package: Option<PathBuf>,
    /// The library can run asynchronous tests.
    pub(crate) tokio: bool,
}

pub(crate) fn expand(
    options: TokenStream,
    function: TokenStream,
    surroundings: &Surroundings,
) -> syn::Result<TokenStream> {
    let function: ItemFn = syn::parse2(function).map_err(|error| {
        Error::new(error.span(), format!("`#[pglite_oxide::test]` is for functions: {error}"))
    })?;
    let options: Options = syn::parse2(options)?;
    // All mistakes are told at once.
    let mistakes = [
        check_attributes(&function.attrs),
        check_signature(&function.sig, surroundings),
        check_directory(options.migrations.as_ref(), surroundings),
    ];
    let mistakes = mistakes.into_iter().filter_map(Result::err).reduce(|mut all, next| {
        all.combine(next);
        all
    });
    match mistakes {
        Some(mistakes) => Err(mistakes),
        None => Ok(write(&options, function)),
    }
}

/// Another attribute that makes a test would run this one twice, or without its parameters.
fn check_attributes(attributes: &[Attribute]) -> syn::Result<()> {
    let is_test = |attribute: &&Attribute| {
        attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
    };
    match attributes.iter().find(is_test) {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "`#[pglite_oxide::test]` makes a test by itself, also of an `async fn`: remove this \
             attribute",
        )),
        None => Ok(()),
    }
}

fn check_signature(signature: &Signature, surroundings: &Surroundings) -> syn::Result<()> {
    if let Some(keyword) = &signature.asyncness
        && !surroundings.tokio
    {
        return Err(Error::new(
            keyword.span(),
            "asynchronous tests need the feature `tokio` of pglite-oxide (`sqlx` and \
             `tokio-postgres` have it in them)",
        ));
    }
    if let Some(keyword) = &signature.constness {
        return Err(Error::new(keyword.span(), "a test cannot be `const`"));
    }
    if let Some(keyword) = &signature.unsafety {
        return Err(Error::new(keyword.span(), "a test cannot be `unsafe`"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a test has no ABI"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(&signature.generics, "a test cannot be generic"));
    }
    if signature.inputs.is_empty() {
        return Err(Error::new(
            signature.ident.span(),
            "this test has no parameter for its database, such as `mut db: Pglite`; one without a \
             database takes `#[test]`",
        ));
    }
    for input in &signature.inputs {
        check_parameter(input)?;
    }
    Ok(())
}

/// What no trait could say better.
fn check_parameter(input: &FnArg) -> syn::Result<()> {
    match input {
        FnArg::Receiver(receiver) => Err(Error::new_spanned(receiver, "a test is no method")),
        FnArg::Typed(parameter) => match &*parameter.ty {
            Type::Reference(ty) => Err(Error::new_spanned(
                ty,
                "a test gets its parameters by value, such as `mut db: Pglite`",
            )),
            ty @ (Type::ImplTrait(_) | Type::Infer(_)) => {
                Err(Error::new_spanned(ty, "the type of a test's parameter has to be named"))
            }
            _ => Ok(()),
        },
    }
}

/// The files are read when the test runs, but a wrong path is found now.
fn check_directory(directory: Option<&LitStr>, surroundings: &Surroundings) -> syn::Result<()> {
    let (Some(directory), Some(package)) = (directory, &surroundings.package) else {
        return Ok(());
    };
    let path = package.join(directory.value());
    let problem = match path.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "is not a directory".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    let message = format!(
        "the directory of migrations {problem}: {} (paths are relative to the directory of \
         Cargo.toml)",
        path.display()
    );
    Err(Error::new(directory.span(), message))
}

fn write(options: &Options, function: ItemFn) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let library = options.library.clone().unwrap_or_else(|| syn::parse_quote!(::pglite_oxide));
    let name = &sig.ident;
    let output = &sig.output;
    let is_async = sig.asyncness.is_some();
    // Locals of our own, which no name of the test can be mistaken for.
    let local = |name: &str| Ident::new(name, Span::mixed_site());
    let (snapshot, started, error) = (local("snapshot"), local("started"), local("error"));
    let failed = failed(&library, &attrs, &error);
    let template = template(&library, options);
    let types = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(parameter) => Some(&parameter.ty),
        FnArg::Receiver(_) => None,
    });
    let mut starts = TokenStream::new();
    let mut arguments = Vec::new();
    for (index, ty) in types.enumerate() {
        let argument = local(&format!("argument{index}"));
        let guard = local(&format!("_guard{index}"));
        let start = if is_async { quote!(start_async) } else { quote!(start) };
        let wait = is_async.then(|| quote!(.await));
        // At the type, so that the compiler shows it when it is not one that a test can have.
        starts.extend(quote_spanned! {ty.span()=>
            let (#argument, #guard) = match
                #library::testing::attribute::#start::<#ty>(&#snapshot) #wait
            {
                ::core::result::Result::Ok(#started) => #started,
                ::core::result::Result::Err(#error) => #failed,
            };
        });
        arguments.push(argument);
    }
    let run = if is_async {
        quote! {
            #library::testing::attribute::block_on(async {
                #starts
                #name(#(#arguments),*).await
            })
        }
    } else {
        quote! {
            #starts
            #name(#(#arguments),*)
        }
    };
    quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            #sig #block

            // Before an asynchronous test has its run time: setup functions may need one of their own.
            let #snapshot = match #library::testing::Template::snapshot(&#template) {
                ::core::result::Result::Ok(#snapshot) => #snapshot,
                ::core::result::Result::Err(#error) => #failed,
            };
            #run
        }
    }
}

/// The template, as its public interface makes it.
fn template(library: &Path, options: &Options) -> TokenStream {
    let extensions = &options.extensions;
    let migrations = options.migrations.as_ref().map(|directory| {
        quote! {
            .migrations(#library::testing::attribute::in_package(
                ::core::env!("CARGO_MANIFEST_DIR"),
                #directory,
            ))
        }
    });
    let setup = options.setup.as_ref().map(|function| {
        // A function of another type is shown where it is named.
        quote_spanned!(function.span()=> .setup(#function))
    });
    quote! {
        #library::testing::Template::new()
            #(.extension(#extensions))*
            #migrations
            #setup
    }
}

/// What a test does that has no database: an expression that does not return.
fn failed(library: &Path, attributes: &[Attribute], error: &Ident) -> TokenStream {
    if attributes.iter().any(|attribute| attribute.path().is_ident("should_panic")) {
        // A panic would be taken for the one that the test is about. Such a test returns nothing.
        quote!({
            #library::testing::attribute::report(#error);
            return;
        })
    } else {
        quote!(#library::testing::attribute::fail(#error))
    }
}
