//! The first process of a PID namespace gets no signal that it does not ask for.

/// Ends the process on SIGINT and SIGTERM.
pub fn end_on_signals() {
    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
        fn _exit(code: i32) -> !;
    }
    extern "C" fn end(_: i32) {
        // SAFETY: _exit is async-signal-safe and takes any code.
        unsafe { _exit(0) }
    }
    for number in [2, 15] {
        // SAFETY: the handler only calls _exit. Without one the kernel would drop SIGTERM and SIGINT,
        // as this is the first process of its PID namespace.
        unsafe { signal(number, end) };
    }
}
