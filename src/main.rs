//! The `warren` binary: parse the arguments, run the subcommand, map its result to an exit code.

/// Chosen by measurement: see Cargo.toml.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    warren::cli::main()
}
