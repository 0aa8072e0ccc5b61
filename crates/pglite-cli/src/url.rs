//! `pglite url`.

use std::io::{self, Write};

use crate::announce;
use crate::args::UrlArgs;
use crate::failure::Failure;

pub(crate) fn command(args: &UrlArgs) -> Result<u8, Failure> {
    let directory = args.path.display();
    let found = announce::find(&args.path).map_err(|error| {
        Failure::because(format!("cannot tell whether a server runs for {directory}"), &error)
    })?;
    let Some(url) = found else {
        return Err(Failure::new(format!(
            "no server of pglite runs for {directory}; start one with `pglite serve --path \
             {directory}`"
        )));
    };
    writeln!(io::stdout(), "{url}")
        .map_err(|error| Failure::because("cannot write the URL to standard output", &error))?;
    Ok(0)
}
