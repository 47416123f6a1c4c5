//! From the mirror of the file to the configuration: defaults, cross-field rules, all problems.
