//! Mirror of the TOML text; unknown keys are errors.
