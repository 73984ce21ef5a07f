std = 'luajit'
cache = false
max_line_length = 100
read_globals = { 'vim' }
globals = { 'vim.g', 'vim.bo', 'vim.wo', 'vim.o', 'vim.b' }
exclude_files = { '.venv', '.nvim' }
