//! The program. Everything it does is in the library, in [`watchbell::cli`].

use std::process::ExitCode;

/// Many small allocations of several threads that live for long: what the system's allocator keeps of
/// freed memory shows in the process's size.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything makes a TLS client. It fails only if there is a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    watchbell::cli::main()
}
