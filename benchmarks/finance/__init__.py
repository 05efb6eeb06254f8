"""The pages and files of finance, measured on a month of a million orders."""
