"""The rules of scripts/tidy: each module holds one kind, each rule is a function of sources."""
