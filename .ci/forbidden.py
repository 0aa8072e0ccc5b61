#!/usr/bin/env python3
"""What must not come into the default build of the library. cargo-deny cannot tell: it sees the features that other
packages of the workspace switch on, `tls` and `tokio-postgres` among them."""

import subprocess
import sys

NO_NETWORK = "the library talks to nobody"
NO_TLS = "TLS is rustls, for the feature tls"
NO_COMPILER = "it loads code that was compiled ahead of time: users need no compiler"
NO_C_LIBRARY = "the one C library that users compile is libzstd, for what it saves is measured"

FORBIDDEN = {
    "reqwest": NO_NETWORK,
    "ureq": NO_NETWORK,
    "hyper": NO_NETWORK,
    "rustls": NO_TLS,
    "rcgen": NO_TLS,
    "ring": NO_TLS,
    "native-tls": NO_TLS,
    "openssl": NO_TLS,
    "openssl-sys": NO_TLS,
    "aws-lc-sys": NO_C_LIBRARY,
    "tokio": "the core is synchronous and needs no run time",
    "tokio-postgres": "it is for the feature tokio-postgres",
    "sqlx": "it is for the feature sqlx",
    "sqlx-core": "it is for the feature sqlx",
    "wasmer-compiler-cranelift": NO_COMPILER,
    "wasmer-compiler-llvm": NO_COMPILER + "; and it is BUSL-1.1",
    "wasmer-compiler-singlepass": NO_COMPILER,
    "cranelift-codegen": NO_COMPILER,
    "llvm-sys": NO_COMPILER,
    "inkwell": NO_COMPILER,
    "wasmer-wasix": "the kernel serves the guest's calls",
    "jemalloc-sys": NO_C_LIBRARY,
    "tikv-jemalloc-sys": NO_C_LIBRARY,
}


def main() -> int:
    command = ["cargo", "tree", "--locked", "--package", "pglite-oxide", "--edges", "normal,build", "--prefix", "none"]
    tree = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    crates = {line.split()[0] for line in tree.splitlines() if line.strip()}
    if "wasmer" not in crates:
        print("cargo tree's output is not understood", file=sys.stderr)
        return 1
    found = sorted(crates & FORBIDDEN.keys())
    for crate in found:
        print(f"{crate} is in the default build: {FORBIDDEN[crate]}", file=sys.stderr)
    print(f"{len(crates)} crates in the default build, {len(found)} of them forbidden")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
