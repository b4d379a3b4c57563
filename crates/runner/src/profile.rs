//! Execution profiles: everything that has to be equal on two machines for their results to be equal.

use market::id::Digest;
use wasmtime::{Config, OptLevel};

/// A versioned set of rules under which the same module with the same input gives the same output, the same exit
/// status and the same fuel on every machine. A job names its profile, and only results under one profile are
/// compared.
///
/// Nothing in a published profile may change: a different wasmtime, flag or cost is a new profile with a new name.
/// [`Profile::digest`] covers every field, so that two programs that mean different things by one name notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What jobs call it, `wasm-1` for example.
    pub name: &'static str,
    /// The exact version of wasmtime that compiles and meters.
    pub wasmtime: &'static str,
    /// The proposals beyond WebAssembly 1.0 that a module may use.
    pub wasm_features: &'static [&'static str],
    /// How much call stack a module may use, in bytes. How deep a recursion gets in it depends on the processor, which is
    /// why an exhausted stack is inconclusive.
    pub stack_bytes: u64,
    /// The most elements that all tables together may have.
    pub table_elements: u64,
    /// Fuel for each call of a system interface function, on top of the one unit for most instructions.
    pub fuel_per_host_call: u64,
    /// Fuel for each byte that such a call reads, writes, clears or compares.
    pub fuel_per_host_byte: u64,
    /// What the realtime clock shows when a task starts, in nanoseconds since 1970. Also the time of every file.
    pub clock_start_ns: u64,
    /// How far the clocks advance for each unit of fuel, in nanoseconds.
    pub clock_ns_per_fuel: u64,
    /// The most files and directories that exist at once, inputs included.
    pub max_nodes: u32,
    /// The most open descriptors.
    pub max_descriptors: u32,
}

/// WebAssembly with the system interface of WASI preview 1 on an in-memory filesystem.
///
/// Fuel is on, NaNs are canonical, there are no threads, no relaxed SIMD, no 64-bit memories, no garbage-collected types and no
/// exceptions. Fixed-width SIMD is deterministic and stays on.
static WASM_1: Profile = Profile {
    name: "wasm-1",
    wasmtime: "48.0.8",
    wasm_features: &[
        "bulk-memory",
        "extended-const",
        "multi-value",
        "mutable-global",
        "nontrapping-float-to-int",
        "reference-types (functions only)",
        "sign-extension",
        "simd128",
        "tail-call",
    ],
    stack_bytes: 1 << 20,
    table_elements: 1 << 20,
    fuel_per_host_call: 200,
    fuel_per_host_byte: 1,
    // 2025-01-01T00:00:00Z
    clock_start_ns: 1_735_689_600_000_000_000,
    clock_ns_per_fuel: 1,
    max_nodes: 16_384,
    max_descriptors: 256,
};

impl Profile {
    /// The profile of that name, if this program can run it.
    pub fn find(name: &str) -> Option<&'static Profile> {
        Profile::all().iter().copied().find(|profile| profile.name == name)
    }

    /// The profile for new jobs.
    pub fn newest() -> &'static Profile {
        &WASM_1
    }

    /// Every profile that this program can run, oldest first.
    pub fn all() -> &'static [&'static Profile] {
        static ALL: [&Profile; 1] = [&WASM_1];
        &ALL
    }

    /// What the profile is, beyond its name: the digest of every field, in the order of their declaration, in domain
    /// `gristmill execution profile 1`. Text fields are their UTF-8 bytes, numbers eight little-endian bytes.
    pub fn digest(&self) -> Digest {
        // Taken apart so that a new field cannot be forgotten here.
        let Profile {
            name,
            wasmtime,
            wasm_features,
            stack_bytes,
            table_elements,
            fuel_per_host_call,
            fuel_per_host_byte,
            clock_start_ns,
            clock_ns_per_fuel,
            max_nodes,
            max_descriptors,
        } = *self;
        let features = wasm_features.join("\n");
        let numbers = [
            stack_bytes,
            table_elements,
            fuel_per_host_call,
            fuel_per_host_byte,
            clock_start_ns,
            clock_ns_per_fuel,
            u64::from(max_nodes),
            u64::from(max_descriptors),
        ]
        .map(u64::to_le_bytes);
        let mut parts = vec![name.as_bytes(), wasmtime.as_bytes(), features.as_bytes()];
        parts.extend(numbers.iter().map(<[u8; 8]>::as_slice));
        Digest::of_parts("gristmill execution profile 1", &parts)
    }

    /// The settings of wasmtime under this profile.
    pub fn engine_config(&self) -> Config {
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .epoch_interruption(true)
            .cranelift_nan_canonicalization(true)
            .cranelift_opt_level(OptLevel::Speed)
            .max_wasm_stack(usize::try_from(self.stack_bytes).unwrap_or(usize::MAX))
            .wasm_bulk_memory(true)
            .wasm_multi_value(true)
            .wasm_extended_const(true)
            .wasm_simd(true)
            .wasm_tail_call(true)
            .wasm_relaxed_simd(false)
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            // One address space of 4 GiB is reserved up front, so that memory never moves while it grows.
            .memory_reservation(1 << 32)
            .memory_may_move(false)
            // Data segments are copied; copy-on-write images would need files, which the sandbox forbids.
            .memory_init_cow(false)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false)
            // Compilation happens in a process that may not start threads.
            .parallel_compilation(false);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_names_the_wasmtime_that_is_built_in() {
        let lock = include_str!("../../../Cargo.lock").replace("\r\n", "\n");
        let package = format!("name = \"wasmtime\"\nversion = \"{}\"\n", Profile::newest().wasmtime);
        assert!(lock.contains(&package), "a new wasmtime needs a new profile");
    }

    #[test]
    fn published_profiles_never_change() {
        let digest = Profile::find("wasm-1").unwrap().digest();
        assert_eq!(digest.to_string(), "0798e138d3022e063a4c7729e529658d641aabba02bfbee541b6e47a4a8601db");
        assert_eq!(Profile::find("wasm-0"), None);
    }
}
