CREATE TABLE note (words text);
