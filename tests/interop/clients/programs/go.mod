module credsmith.example

go 1.19
