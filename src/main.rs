//! The program. Everything it does is in the library, in [`watchbell::cli`].

use std::process::ExitCode;

/// Many small allocations of several threads that live for long: what the system's allocator keeps of
/// freed memory shows in the process's size.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages spare some 7 % of processor time and cost a sixth of the memory of a million series, and half of that of a
    // service with few: much of such a page is never touched. Where the kernel can not say no it stays as it is.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // Before anything makes a TLS client. It fails only if there is a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    watchbell::cli::main()
}
