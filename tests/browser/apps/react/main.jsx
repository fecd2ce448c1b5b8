import * as React from "react";
import { createRoot } from "react-dom/client";
import Course from "./Course.jsx";
import Watching from "./Watching.jsx";

createRoot(document.getElementById("app")).render(
  <React.StrictMode>
    <h1>React {React.version}</h1>
    <Course courseId="COURSE" user={{ id: "ada", name: "Ada" }} />
    <Watching courseId="COURSE" />
  </React.StrictMode>,
);
