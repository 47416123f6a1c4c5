//! The `warren` binary: parse the arguments, run the subcommand, map its result to an exit code.

fn main() -> std::process::ExitCode {
    warren::cli::main()
}
