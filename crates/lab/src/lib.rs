//! Namespaces, subscribers' traffic, traffic generators and ground truth for demo, tests and bench.
