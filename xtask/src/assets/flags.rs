//! Every flag that decides what the compilers make, in one place.

use crate::paths::WORK;

pub(crate) const TARGET: &str = "wasm32-wasip1";

/// The optimisation that `configure` passes on to every object.
pub(crate) const OPTIMIZE: &str = "-O3";

/// Where Postgres believes to be installed. The kernel shows the runtime files there.
pub(crate) const PREFIX: &str = "/pglite";

/// For every compilation: ours and Postgres'.
const COMPILE: &[&str] = &[
    "-mbulk-memory",
    // Copies are calls of memcpy: see assets/wasix/memory.c.
    "-mno-bulk-memory-opt",
    "-matomics",
    "-msimd128",
    // setjmp and longjmp become exceptions, of the kind with `exnref`: Wasmer has no other.
    "-mllvm -wasm-enable-sjlj",
    "-mllvm -wasm-use-legacy-eh=false",
    // wasi-libc asks for consent to each emulation.
    "-D_WASI_EMULATED_SIGNAL",
    "-D_WASI_EMULATED_MMAN",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_GETPID",
];

/// wasi-libc's emulations, behind our own libraries.
pub(crate) const LIBRARIES: &[&str] = &[
    "-lwasi-emulated-signal",
    "-lwasi-emulated-mman",
    "-lwasi-emulated-process-clocks",
    "-lwasi-emulated-getpid",
    "-lm",
];

/// The steps `libraries` and `icu` put them where the compiler looks. configure asks pkg-config for most of them, unless
/// it is told the answer; an empty one does not count.
pub(crate) const CONFIGURE_LIBRARIES: &str = "LZ4_CFLAGS=' ' LZ4_LIBS=-llz4 ZSTD_CFLAGS=' ' ZSTD_LIBS=-lzstd \
     XML2_CFLAGS=' ' XML2_LIBS=-lxml2 ICU_CFLAGS=' ' ICU_LIBS='-licui18n -licuuc'";

/// What PostgreSQL itself compresses with, in the server and in the tools.
pub(crate) const COMPRESSION: &[&str] = &["-lz", "-llz4", "-lzstd"];

/// What the server has besides: libxml2, ICU, and C++'s own libraries out of the root.
pub(crate) const CORE_LIBRARIES: &[&str] = &[
    "-lxml2",
    "-licui18n",
    "-licuuc",
    "/usr/lib/llvm-22/lib/wasm32-wasi/libc++.a",
    "/usr/lib/llvm-22/lib/wasm32-wasi/libc++abi.a",
];

/// `configure`'s options.
pub(crate) const CONFIGURE: &[&str] = &[
    "--host=wasm32-unknown-wasi",
    "--with-template=wasix",
    "--without-readline",
    "--with-icu",
    "--with-libxml",
    "--with-zlib",
    "--with-lz4",
    "--with-zstd",
    "--disable-largefile",
    // Objects that depend on a changed header are made again.
    "--enable-depend",
];

/// What `configure` cannot find out without running a program.
pub(crate) const CONFIGURE_CACHE: &[&str] = &[
    // In the shim, which configure does not link.
    "ac_cv_func_syncfs=yes",
    "ac_cv_file__dev_urandom=yes",
    "pgac_cv_wait_for_readiness=no",
];

/// What the kernel and side modules need of the module.
pub(crate) const EXPORTS: &[&str] =
    &["__stack_pointer", "__c_longjmp", "longjmp_args", "aligned_alloc"];

/// The linker's flags for the main module.
pub(crate) const LINK: &[&str] = &[
    // No `_start`: the kernel calls `_initialize`, then `pgl_main` or `pgl_child`.
    "-mexec-model=reactor",
    // Side modules are placed in the table at run time.
    "-Wl,--export-table",
    "-Wl,--growable-table",
    // Deeper than the ceiling of max_stack_depth.
    "-Wl,-z,stack-size=8388608",
    "-Wl,--max-memory=4294967296",
    "-Wl,--error-limit=0",
    // wasi-libc comes with DWARF, and in a module with DWARF binaryen leaves out half its passes. Names stay.
    "-Wl,--strip-debug",
];

/// binaryen's optimisation of the linked module: it sees across objects, which Wasmer's compiler does not.
/// Without memory-packing, which cuts data at each run of zeros: 20,000 segments, of which Wasmer makes lists
/// of 1.1 MB at each instantiation, that is for each new process.
pub(crate) const WASM_OPT: &[&str] =
    &["-O3", "-fimfs 70", "-aimfs 12", "--skip-pass=memory-packing"];

/// What the shipped module goes without: DWARF, names, producers. The copy for profiling keeps them.
pub(crate) const STRIP: &[&str] =
    &["--strip-debug", "--strip-producers", "--strip-target-features"];

/// The compiler as a program, for `configure`: the target is the compiler's, not an option that would be repeated
/// in `pg_config`'s output. Without `--no-wasm-opt` clang runs binaryen after each link, which fails on configure's
/// tests of functions, since those declare them with wrong types on purpose. `PROGRAM_LINK` is for
/// programs made on the way: as LDFLAGS, the build's paths would get into `pg_config`'s output.
pub(crate) fn compiler_script() -> String {
    script_of("clang-22")
}

/// The compiler of C++.
pub(crate) fn cxx_script() -> String {
    script_of(&format!("clang++-22 -nostdinc++ -isystem {CXX_INCLUDE}"))
}

/// libc++'s headers in the root.
const CXX_INCLUDE: &str = "/usr/include/wasm32-wasi/c++/v1";

fn script_of(program: &str) -> String {
    format!(
        "#!/bin/sh\nexec {program} --target={TARGET} --sysroot={WORK}/sysroot --no-wasm-opt -Wno-unused-command-line-argument {} \
         -ffile-prefix-map={WORK}/obj/../pg/= -ffile-prefix-map={WORK}/= -isystem {WORK}/wasix/include \
         -isystem {WORK}/libraries/include -isystem {WORK}/icu/include -L{WORK}/libraries/lib -L{WORK}/icu/lib \"$@\" ${{PROGRAM_LINK:-}}\n",
        COMPILE.join(" ")
    )
}

/// The name of [`compiler_script`] on the search path.
pub(crate) const CC: &str = "wasm32-cc";
/// The same of [`cxx_script`].
pub(crate) const CXX: &str = "wasm32-c++";
