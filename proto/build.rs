//! Compiles the proto files with protox, so that no `protoc` is needed on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "federation/v1/audit.proto",
        "federation/v1/command.proto",
        "federation/v1/dead_letter.proto",
        "federation/v1/receipt.proto",
        "federation/v1/registry.proto",
    ];
    let descriptors = protox::compile(files, ["."])?;
    let set = PathBuf::from(env::var("OUT_DIR")?).join("federation.bin");
    fs::write(set, descriptors.encode_to_vec())?;
    // Generated `Debug` would show the password to any log.
    tonic_prost_build::configure()
        .skip_debug([".federation.v1.AdapterCredentials"])
        .compile_fds(descriptors)?;
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    Ok(())
}
