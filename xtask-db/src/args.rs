//! Options of a command line: `--name`, `--name VALUE` or `--name=VALUE`.

use std::collections::VecDeque;

use anyhow::{Result, bail};

/// Options, taken out one by one; what is left in the end is an error.
pub(crate) struct Args(VecDeque<String>);

impl Args {
    pub(crate) fn new(args: &[String]) -> Args {
        Args(args.iter().cloned().collect())
    }

    /// Is `--name` there?
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.0.iter().position(|arg| arg == name) {
            Some(at) => self.0.remove(at).is_some(),
            None => false,
        }
    }

    /// The value of `--name`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let joined = format!("{name}=");
        let Some(at) = self.0.iter().position(|arg| arg == name || arg.starts_with(&joined)) else {
            return Ok(None);
        };
        let arg = self.0.remove(at).unwrap_or_default();
        if let Some(value) = arg.strip_prefix(&joined) {
            return Ok(Some(value.to_owned()));
        }
        match self.0.remove(at) {
            Some(value) => Ok(Some(value)),
            None => bail!("{name} needs a value"),
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &str, default: usize) -> Result<usize> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) => Ok(number),
                Err(_) => bail!("{name} needs a number, not {text}"),
            },
        }
    }

    pub(crate) fn finish(self, help: &str) -> Result<()> {
        match self.0.front() {
            None => Ok(()),
            Some(arg) => bail!("no such option: {arg}\n\n{help}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Args {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Args::new(&words)
    }

    #[test]
    fn options_in_any_form_and_order() {
        let mut args = args("--only a,b --ci --runs=3");
        assert_eq!(args.number("--runs", 9).unwrap(), 3);
        assert_eq!(args.value("--only").unwrap().as_deref(), Some("a,b"));
        assert_eq!(args.value("--json").unwrap(), None);
        assert!(args.flag("--ci"));
        assert!(!args.flag("--ci"));
        args.finish("").unwrap();
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(args("--only").value("--only").is_err());
        assert!(args("--runs=x").number("--runs", 1).is_err());
        assert!(args("--bad").finish("").is_err());
    }
}
