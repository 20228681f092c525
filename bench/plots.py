def write_plots(lines, stem): pass
