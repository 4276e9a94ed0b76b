"""What generate_protocol.py writes: cpp.py the headers, markdown.py the tables of the documents."""
