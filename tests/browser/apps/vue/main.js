import { createApp } from "vue";
import Course from "./Course.vue";

createApp(Course, { courseId: "COURSE", user: { id: "ada", name: "Ada" } }).mount("#app");
